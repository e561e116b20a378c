package main

// This file answers: how does the owner of a private stream let people in and out?

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/braidway/braidway/internal/node/p2p"
	"github.com/braidway/braidway/internal/node/token"
	"github.com/braidway/braidway/stream"
)

// tokenOwner are the flags of who has the stream's key.
type tokenOwner struct {
	key, name, ledger string
	asJSON            bool

	private ed25519.PrivateKey
	id      stream.ID
}

func (o *tokenOwner) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.key, "key", "", "`FILE` of the stream's key: publish's --stream-key, else its --key")
	f.StringVar(&o.name, "name", "live", "`NAME` of the stream, as publish has it")
	f.StringVar(&o.ledger, "tokens", "", "`FILE` that keeps count of the tokens (default: the key's file with "+ledgerSuffix+")")
	f.BoolVar(&o.asJSON, "json", false, "as JSON")
}

// load reads the key, which must be there.
func (o *tokenOwner) load() (err error) {
	if o.key == "" {
		return usagef("--key is missing: the file of the stream's key")
	}
	if err := stream.CheckName(o.name); err != nil {
		return usagef("--name: %w", err)
	}
	if o.ledger == "" {
		o.ledger = ledgerOf(o.key)
	}
	if o.private, err = p2p.LoadKey(o.key); err != nil {
		return err
	}
	o.id = stream.NewID(o.private.Public().(ed25519.PublicKey), o.name)
	return nil
}

func (o *tokenOwner) book() token.Ledger { return token.Ledger{File: o.ledger} }

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Let viewers and relays into a private stream, and out again",
		Long: `A private stream (peer publish --private) lets nobody in who has no token, and nobody
reads it who has not the link as well. Tokens are issued and revoked with the stream's
key; a publisher that runs hears of it within a second, its viewers within ten.
docs/security.md says what that protects from, and what it does not.`,
		Example: "  peer token issue --key pub.key --name show --peer 12D3KooW… --expires 24h > viewer.token\n  peer token revoke 7 --key pub.key --name show\n  peer token show --key pub.key --name show", Args: cobra.ArbitraryArgs, RunE: group}
	cmd.AddCommand(tokenIssue(), tokenRevoke(), tokenShow(), tokenRelayLink())
	return cmd
}

func tokenIssue() *cobra.Command {
	o := &tokenOwner{}
	var to, rights, label string
	var life time.Duration
	cmd := &cobra.Command{Use: "issue", Short: "Issue a token",
		Long: `Prints a token, one line: a secret for its holder. Bound to a peer id (--peer; peer key
show prints it) it is of no use to others; without, whoever has it may show it, and every
member of the stream sees it.`,
		Example: "  peer token issue --key pub.key --name show > anybody.token\n  peer token issue --key pub.key --name show --peer 12D3KooW… --rights relay --expires 720h", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			t := token.Token{Issued: time.Now().Truncate(time.Second)}
			var err error
			if t.Rights, err = token.ParseRights(rights); err != nil {
				return usagef("--rights: %w", err)
			}
			if life < time.Second || life > token.MaxLife {
				return usagef("--expires is %v, allowed is 1s to %v", life, token.MaxLife)
			}
			t.Expires = t.Issued.Add(life)
			if to != "" {
				if t.Peer, err = peer.Decode(to); err != nil {
					return usagef("--peer %s: %w; peer key show prints a peer's id", to, err)
				}
			}
			if err := o.load(); err != nil {
				return err
			}
			t.Stream = o.id
			if t, err = o.book().Add(t, label); err != nil {
				return err
			}
			c, err := token.Issue(o.private, t)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "token %d of stream %q: %s, until %s\n", t.Number, o.name, t.Rights, t.Expires.Format(time.RFC3339))
			if o.asJSON {
				return writeJSON(os.Stdout, struct {
					Number uint16 `json:"number"`
					Token  string `json:"token"`
				}{t.Number, c.Text()})
			}
			fmt.Println(c.Text())
			return nil
		}}
	o.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&to, "peer", "", "peer `ID` that alone may show it (default: whoever has it)")
	f.StringVar(&rights, "rights", "watch,relay", "some of watch, relay, publish")
	f.DurationVar(&life, "expires", 24*time.Hour, fmt.Sprintf("how long it counts, 1s to %v", token.MaxLife))
	f.StringVar(&label, "label", "", "`TEXT` for the list, such as whom it was given to")
	return cmd
}

func tokenRevoke() *cobra.Command {
	o := &tokenOwner{}
	cmd := &cobra.Command{Use: "revoke NUMBER...", Short: "Revoke tokens",
		Long:    "Revokes tokens by number. Their holders are cut off within ten seconds where the stream is on, and the content key changes.",
		Example: "  peer token revoke 7 --key pub.key --name show", Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("NUMBER is missing; peer token show lists them")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			var numbers []uint16
			for _, a := range args {
				n, err := strconv.ParseUint(a, 10, 16)
				if err != nil || n == 0 {
					return usagef("%q is no token's number, 1 to %d", a, stream.MaxTokens-1)
				}
				numbers = append(numbers, uint16(n))
			}
			if err := o.load(); err != nil {
				return err
			}
			if err := o.book().Revoke(o.id, numbers, time.Now()); err != nil {
				return err
			}
			if o.asJSON {
				return writeJSON(os.Stdout, map[string][]uint16{"revoked": numbers})
			}
			fmt.Println("revoked", strings.Join(args, " "))
			return nil
		}}
	o.bind(cmd)
	return cmd
}

func tokenShow() *cobra.Command {
	o := &tokenOwner{}
	var link string
	cmd := &cobra.Command{Use: "show [FILE]", Short: "List the tokens of a stream, or say what one means",
		Long:    "Without FILE, lists the tokens that were issued. With FILE (- is standard input), says what the token in it means; to check its signature it needs the stream's --link, or its --key and --name.",
		Example: "  peer token show --key pub.key --name show\n  peer token show viewer.token --link 'braidway://…'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("unexpected argument %q", args[1])
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return o.list()
			}
			var pub ed25519.PublicKey
			if link != "" {
				l, err := parseLink(link)
				if err != nil {
					return err
				}
				pub = l.PublicKey
			} else {
				if err := o.load(); err != nil {
					return err
				}
				pub = o.private.Public().(ed25519.PublicKey)
			}
			text, err := readToken(args[0])
			if err != nil {
				return err
			}
			c, t, err := token.ParseCredential(text, pub)
			if err != nil {
				return err
			}
			e := entryOf(t)
			if o.asJSON {
				return writeJSON(os.Stdout, e)
			}
			fmt.Printf("number   %d\nstream   %v\nholder   %s\nrights   %s\nissued   %s\nexpires  %s (%s)\nkeys     %v\n", t.Number, t.Stream, holderText(e.PeerID), t.Rights,
				t.Issued.Format(time.RFC3339), t.Expires.Format(time.RFC3339), standing(e), c.Keys != nil)
			return nil
		}}
	o.bind(cmd)
	cmd.Flags().StringVar(&link, "link", "", "`LINK` of the stream")
	return cmd
}

func entryOf(t token.Token) token.Entry {
	e := token.Entry{Stream: t.Stream, Number: t.Number, Rights: t.Rights.String(), Issued: t.Issued, Expires: t.Expires}
	if t.Peer != "" {
		e.PeerID = t.Peer.String()
	}
	return e
}

func holderText(id string) string {
	if id == "" {
		return "whoever has it"
	}
	return id
}

func standing(e token.Entry) string {
	switch {
	case !e.Revoked.IsZero():
		return "revoked"
	case time.Now().After(e.Expires):
		return "expired"
	}
	return "in force"
}

// list shows the ledger.
func (o *tokenOwner) list() error {
	if err := o.load(); err != nil {
		return err
	}
	all, err := o.book().Read(o.id)
	if err != nil {
		return err
	}
	if o.asJSON {
		if all == nil {
			all = []token.Entry{}
		}
		return writeJSON(os.Stdout, all)
	}
	if len(all) == 0 {
		return notFoundError{fmt.Errorf("%s has no token of the stream %q: peer token issue makes one", o.ledger, o.name)}
	}
	t := tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tSTANDING\tRIGHTS\tEXPIRES\tHOLDER\tLABEL")
	for _, e := range all {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", e.Number, standing(e), e.Rights, e.Expires.Local().Format(time.RFC3339), holderText(e.PeerID), e.Label)
	}
	return t.Flush()
}

func tokenRelayLink() *cobra.Command {
	return &cobra.Command{Use: "relay-link LINK", Short: "Print what a relay may have of a private stream's link",
		Long:    "Prints the link without the stream's secret: with it and a token to relay, a relay finds the stream and carries it, and cannot read it.",
		Example: "  peer token relay-link \"$(cat show.link)\" > relay.link", Args: exactly("LINK"),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := parseLink(args[0])
			if err != nil {
				return err
			}
			if l.Private == nil {
				return usageError{errors.New("this link is not of a private stream: a relay may have it as it is")}
			}
			p := l.Private.ForRelays()
			l.Private = &p
			fmt.Println(l)
			return nil
		}}
}
