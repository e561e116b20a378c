package stream

// This file answers: does a link that was damaged say where and how?

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func testLink(t testing.TB, name string, addrs ...string) Link {
	t.Helper()
	l, err := NewLink(testPub(), name, addrs)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLinkReadsBack(t *testing.T) {
	l := testLink(t, "Ærø & 100% + more/name", "/ip4/127.0.0.1/udp/4001/quic-v1/p2p/12D3KooW", "/ip6/fe80::1%25eth0/tcp/1")
	got, err := ParseLink(l.String())
	if err != nil || !reflect.DeepEqual(got, l) {
		t.Fatalf("%v\nread    %+v\nwritten %+v", err, got, l)
	}
	for _, c := range l.String() {
		if c > '~' || c <= ' ' {
			t.Fatalf("%q in %s", c, l)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringN(1, -1, MaxName).Filter(func(s string) bool { return CheckName(s) == nil }).Draw(t, "name")
		addrs := rapid.SliceOfN(rapid.StringMatching(`/[!-~]{0,255}`), 0, MaxLinkAddrs).Draw(t, "addrs")
		l, err := NewLink(testPub(), name, addrs)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseLink(l.String())
		if err != nil || got.Name != name || len(got.Addrs) != len(addrs) || len(addrs) > 0 && !reflect.DeepEqual(got.Addrs, addrs) {
			t.Fatalf("%v: %+v", err, got)
		}
	})
}

func TestTheLongestLinkFitsItsLimit(t *testing.T) {
	addrs := make([]string, MaxLinkAddrs)
	for i := range addrs {
		addrs[i] = "/" + strings.Repeat("%", MaxAddr-1)
	}
	l := testLink(t, strings.Repeat("%", MaxName), addrs...)
	if _, err := ParseLink(l.String()); err != nil {
		t.Fatalf("%d bytes: %v", len(l.String()), err)
	}
}

// A link cut within its addresses still names the stream: it loses only hints.
func TestLinkEndsEarlyAtEveryPrefix(t *testing.T) {
	l := testLink(t, "a name", "/ip4/127.0.0.1/tcp/1")
	s := l.String()
	whole := strings.Index(s, "&addr=")
	for n := range len(s) {
		got, err := ParseLink(s[:n])
		if err == nil {
			if n < whole || n > whole && n <= whole+len("&addr=") || got.ID != l.ID || len(got.Addrs) > 0 && !strings.HasPrefix(l.Addrs[0], got.Addrs[0]) {
				t.Errorf("%q parses as %+v", s[:n], got)
			}
			continue
		}
		var te *TextError
		if !errors.As(err, &te) || te.What != "link" || te.Offset < 0 || te.Offset > n {
			t.Errorf("%q: %v", s[:n], err)
		}
	}
}

func TestDamagedLinksSayWhereAndHow(t *testing.T) {
	good := testLink(t, "test", "/ip4/127.0.0.1/tcp/1").String()
	id := testID().String()
	at := func(sub string) int { return strings.Index(good, sub) }
	pk := good[at("pk=")+3 : at("&name")]
	for name, c := range map[string]struct {
		link   string
		offset int
		reason string
	}{
		"nothing":             {"", 0, "cut short"},
		"half a scheme":       {"braid", 5, "cut short"},
		"http":                {"http://example.org/", 0, "wrong scheme"},
		"space":               {good + " ", len(good), "not allowed"},
		"fragment":            {good + "#x", len(good) + 2, "a private link has k"},
		"two fragments":       {good + "#k=x#y", len(good) + 4, "second #"},
		"no id":               {"braidway://", 11, "cut short"},
		"half an id":          {"braidway://" + id[:20], 31, "cut short"},
		"wrong character":     {"braidway://" + id[:20] + "1" + id[21:] + "?v=1", 31, "not one of"},
		"id only":             {"braidway://" + id, 63, "cut short"},
		"no version":          {"braidway://" + id + "?pk=" + pk + "&name=test", 63 + 4 + 43 + 10, "parameter v is missing"},
		"version 2":           {strings.Replace(good, "v=1", "v=2", 1), at("v=1") + 2, "unknown version"},
		"version 2 of any id": {"braidway://shorter?v=2", 21, "unknown version"},
		"empty version":       {strings.Replace(good, "v=1", "v=", 1), at("v=1") + 2, "no value"},
		"no key":              {"braidway://" + id + "?v=1", 67, "parameter pk is missing"},
		"key cut short":       {"braidway://" + id + "?v=1&pk=" + pk[:10], at("pk=") + 13, "cut short: 10 of 43"},
		"key too long":        {strings.Replace(good, pk, pk+"A", 1), at("pk=") + 3 + 43, "44 characters"},
		"key of wrong form":   {strings.Replace(good, pk, pk[:5]+"*"+pk[6:], 1), at("pk=") + 8, "not base64url"},
		"key with an escape":  {strings.Replace(good, pk, pk[:40]+"%0A", 1), at("pk=") + 3 + 40, "not base64url"},
		"no name":             {good[:at("&name")], at("&name"), "parameter name is missing"},
		"other name":          {strings.Replace(good, "name=test", "name=tes", 1), at("name=") + 5, "do not give the id"},
		"control in name":     {strings.Replace(good, "name=test", "name=te%00", 1), at("name=") + 5, "control character"},
		"bad escape":          {strings.Replace(good, "name=test", "name=t%zz", 1), at("name=") + 6, "bad percent-escape"},
		"escape cut short":    {strings.Replace(good, "name=test", "name=te%2", 1), at("name=") + 7, "bad percent-escape"},
		"two names":           {good + "&name=test", len(good) + 1, "twice"},
		"two keys":            {good + "&pk=" + pk, len(good) + 1, "twice"},
		"two versions":        {good + "&v=1", len(good) + 1, "twice"},
		"end of a parameter":  {good + "&", len(good) + 1, "empty parameter"},
		"addr without value":  {good + "&addr", len(good) + 5, "no value"},
		"addr of words":       {good + "&addr=home", len(good) + 6, "not a multiaddr"},
		"17 addresses":        {good + strings.Repeat("&addr=/a", 16), len(good) + 15*8 + 1, "too many addresses"},
		"65 parameters":       {good + strings.Repeat("&x", 61), 64, "too many parameters: 65"},
		"too long":            {good + "&x=" + strings.Repeat("y", MaxLink), MaxLink, "allowed is up to"},
	} {
		_, err := ParseLink(c.link)
		var te *TextError
		if !errors.As(err, &te) || te.Offset != c.offset || !strings.Contains(te.Reason, c.reason) {
			t.Errorf("%s: %v\nwant position %d: …%s…", name, err, c.offset, c.reason)
		}
	}
	for name, link := range map[string]string{
		"unknown parameters":      good + "&x=1&y&z=%zz&x=2",
		"name escaped needlessly": strings.Replace(good, "name=test", "name=%74est", 1),
		"another order":           "braidway://" + id + "?name=test&pk=" + pk + "&v=1",
	} {
		if l, err := ParseLink(link); err != nil || l.ID != testID() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l, err := ParseLink(strings.ReplaceAll(testLink(t, "a b").String(), "%20", "+")); err != nil || l.Name != "a b" {
		t.Errorf("+ for a space: %v", err)
	}
}

func TestLinksOfWrongPartsAreNotMade(t *testing.T) {
	for name, link := range map[string]func() (Link, error){
		"short key":       func() (Link, error) { return NewLink(testPub()[:3], "a", nil) },
		"empty name":      func() (Link, error) { return NewLink(testPub(), "", nil) },
		"17 addresses":    func() (Link, error) { return NewLink(testPub(), "a", make([]string, 17)) },
		"space in addr":   func() (Link, error) { return NewLink(testPub(), "a", []string{"/a b"}) },
		"addr of 257":     func() (Link, error) { return NewLink(testPub(), "a", []string{"/" + strings.Repeat("a", MaxAddr)}) },
		"addr of nothing": func() (Link, error) { return NewLink(testPub(), "a", []string{""}) },
	} {
		if _, err := link(); err == nil {
			t.Errorf("%s makes a link", name)
		}
	}
}

func FuzzParseLink(f *testing.F) {
	f.Add(testLink(f, "test", "/ip4/127.0.0.1/tcp/1").String())
	f.Add(testLink(f, "Ærø 1").String() + "&x=%zz")
	f.Add("braidway://")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLink(s)
		if err != nil {
			var te *TextError
			if !errors.As(err, &te) || te.Offset < 0 || te.Offset > len(s) || te.Reason == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		again, err := ParseLink(l.String())
		if err != nil || !reflect.DeepEqual(again, l) || !utf8.ValidString(l.Name) || len(l.PublicKey) != publicKeySize {
			t.Fatalf("%+v reads back as %+v: %v", l, again, err)
		}
	})
}
