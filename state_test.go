package braidway

// This file answers: is State what the admin API says, under the same names?

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/measure"
)

// fill sets every field of a struct to something that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(9)
	case reflect.Float64:
		v.SetFloat(0.5)
	}
}

func asMap(t *testing.T, v any) map[string]any {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheStateIsAPartOfTheAdminAPIs(t *testing.T) {
	var in node.StreamState
	fill(reflect.ValueOf(&in).Elem())
	in.Measures = measure.Report{Stream: "s", Peer: "p"}
	theirs, ours := asMap(t, in), asMap(t, streamState(&in))
	if len(ours) != reflect.TypeFor[StreamState]().NumField() {
		t.Errorf("fields that are not filled in: %v", ours)
	}
	for name, v := range ours {
		if name == "stripes" {
			for i, s := range v.([]any) {
				for name, v := range s.(map[string]any) {
					if w := theirs["stripes"].([]any)[i].(map[string]any)[name]; !reflect.DeepEqual(v, w) {
						t.Errorf("stripe's %s is %v, the admin API has %v", name, v, w)
					}
				}
			}
		} else if !reflect.DeepEqual(v, theirs[name]) {
			t.Errorf("%s is %v, the admin API has %v", name, v, theirs[name])
		}
	}
	all := asMap(t, node.State{Addrs: []string{"a"}, Streams: []node.StreamState{}})
	for name := range asMap(t, State{}) {
		if _, ok := all[name]; !ok {
			t.Errorf("the admin API's state has no %s", name)
		}
	}
}
