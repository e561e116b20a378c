package stream

// This file answers: how do all tokens but the revoked ones come to know a new
// content secret from one message? By the complete-subtree method of Naor, Naor
// and Lotspiech (Revocation and Tracing Schemes for Stateless Receivers, CRYPTO 2001).

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"slices"
)

const (
	treeDepth = 16
	// MaxTokens is how many tokens a private stream can have: the leaves of the
	// tree. One token may serve many viewers, if it is bound to nobody.
	MaxTokens = 1 << treeDepth
	// nodeKeySize is the number of bytes of a node's key.
	nodeKeySize = 16
	// PathKeysSize is the number of bytes of a token's keys: one for each node
	// from the root to its leaf.
	PathKeysSize = (treeDepth + 1) * nodeKeySize
)

// PathKeys are the keys of one token: those of the nodes from the root to its leaf.
type PathKeys struct {
	Token uint16
	Keys  [PathKeysSize]byte
}

// String hides the keys, for logs.
func (k PathKeys) String() string { return fmt.Sprintf("keys of token %d", k.Token) }

// GoString hides the keys from %#v.
func (k PathKeys) GoString() string { return k.String() }

// KeyTree makes the keys of all tokens of a stream.
type KeyTree struct{ master []byte }

// NewKeyTree returns the tree of the private stream id of key's owner.
func NewKeyTree(key ed25519.PrivateKey, id ID) KeyTree {
	return KeyTree{derive(key.Seed(), nil, treeTag+string(id[:]), secretSize)}
}

// node returns the key of node i; 1 is the root.
func (t KeyTree) node(i uint32) []byte {
	info := binary.BigEndian.AppendUint32([]byte(nodeTag), i)
	return derive(t.master, nil, string(info), nodeKeySize)
}

// Path returns the keys of a token.
func (t KeyTree) Path(token uint16) PathKeys {
	k := PathKeys{Token: token}
	leaf := leafOf(token)
	for d := range treeDepth + 1 {
		copy(k.Keys[d*nodeKeySize:], t.node(leaf>>(treeDepth-d)))
	}
	return k
}

func leafOf(token uint16) uint32 { return MaxTokens + uint32(token) }

// key returns the key of node i if it lies on the token's path.
func (k *PathKeys) key(i uint32) []byte {
	leaf := leafOf(k.Token)
	for d := range treeDepth + 1 {
		if leaf>>(treeDepth-d) == i {
			return k.Keys[d*nodeKeySize : (d+1)*nodeKeySize]
		}
	}
	return nil
}

// cover returns the roots, ascending, of the largest subtrees without a revoked
// leaf; revoked is ascending.
func cover(revoked []uint16) []uint32 {
	var nodes []uint32
	var visit func(node uint32, in []uint16)
	visit = func(node uint32, in []uint16) {
		switch {
		case len(in) == 0:
			nodes = append(nodes, node)
		case node >= MaxTokens: // a revoked leaf
		default:
			// The first leaf below the right child divides those in.
			right := 2*node + 1
			for right < MaxTokens {
				right *= 2
			}
			at, _ := slices.BinarySearchFunc(in, right, func(t uint16, leaf uint32) int { return int(leafOf(t)) - int(leaf) })
			visit(2*node, in[:at])
			visit(2*node+1, in[at:])
		}
	}
	visit(1, revoked)
	slices.Sort(nodes)
	return nodes
}
