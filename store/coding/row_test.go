package coding

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"neutrino"
)

// inner and everything have a field of each kind that the nouns have.
type inner struct {
	Text string         `json:"text"`
	Mode neutrino.ID    `json:"mode"`
	When time.Time      `json:"when"`
	Net  []netip.Prefix `json:"net"`
}

type everything struct {
	ID      neutrino.ID       `json:"id"`
	Yes     bool              `json:"yes"`
	Number  int               `json:"number"`
	Long    int64             `json:"long"`
	Short   uint16            `json:"short"`
	MAC     neutrino.MAC      `json:"mac"`
	Addr    netip.Addr        `json:"addr"`
	Prefix  netip.Prefix      `json:"prefix"`
	List    []string          `json:"list"`
	Structs []inner           `json:"structs"`
	One     inner             `json:"one"`
	Pointer *inner            `json:"pointer"`
	Flag    *bool             `json:"flag"`
	Count   *int              `json:"count"`
	Words   map[string]string `json:"words"`
	Ratio   float64           `json:"ratio"`
	Hidden  bool              `json:"-"`
	neutrino.Standard
}

func anyInner(t *rapid.T) inner {
	v := inner{Text: rapid.String().Draw(t, "text"), Mode: neutrino.ID(rapid.StringN(0, 300, 300).Draw(t, "mode"))}
	if rapid.Bool().Draw(t, "when") {
		v.When = time.Unix(rapid.Int64Range(-1<<33, 1<<33).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC()
	}
	for range rapid.IntRange(0, 2).Draw(t, "nets") {
		v.Net = append(v.Net, netip.PrefixFrom(anyAddr(t), rapid.IntRange(0, 32).Draw(t, "bits")))
	}
	return v
}

func anyAddr(t *rapid.T) netip.Addr {
	a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6"))
	if rapid.Bool().Draw(t, "is4") {
		a, _ = netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4"))
	}
	return a
}

func anything(t *rapid.T) *everything {
	maybe := func() bool { return rapid.Bool().Draw(t, "maybe") }
	v := &everything{}
	if maybe() {
		v.ID, v.Yes = neutrino.ID(rapid.String().Draw(t, "id")), true
	}
	if maybe() {
		v.Number, v.Long, v.Short = rapid.Int().Draw(t, "number"), rapid.Int64().Draw(t, "long"), rapid.Uint16().Draw(t, "short")
	}
	if maybe() {
		v.MAC, v.Addr = neutrino.MAC{1, 2, 3, 4, 5, rapid.Byte().Draw(t, "mac")}, anyAddr(t)
		v.Prefix = netip.PrefixFrom(v.Addr, rapid.IntRange(0, 32).Draw(t, "prefix"))
	}
	if maybe() {
		v.List = rapid.SliceOf(rapid.String()).Draw(t, "list")
	}
	if maybe() {
		v.Structs = []inner{}
		for range rapid.IntRange(0, 3).Draw(t, "structs") {
			v.Structs = append(v.Structs, anyInner(t))
		}
		v.One = anyInner(t)
	}
	if maybe() {
		one := anyInner(t)
		yes, n := maybe(), rapid.Int().Draw(t, "count")
		v.Pointer, v.Flag, v.Count = &one, &yes, &n
		v.Words, v.Ratio = map[string]string{"a": rapid.String().Draw(t, "word")}, 0.5
	}
	if maybe() {
		v.Description, v.RevisionNumber = rapid.String().Draw(t, "description"), 7
		v.CreatedAt = time.Unix(1_700_000_000, 0).UTC()
	}
	return v
}

func exactly() cmp.Option { return cmp.Exporter(func(reflect.Type) bool { return true }) }

func read(c *Coder, s string) (any, error) {
	row := c.New()
	return row, c.Read(s, row)
}

// What is written comes back as it was, also when it came from JSON, and no
// damage to it makes the reader panic.
func TestEveryValueComesBack(t *testing.T) {
	c := New("test", reflect.TypeFor[everything]())
	rapid.Check(t, func(t *rapid.T) {
		want := anything(t)
		b := c.Append([]byte("before")[:0], want)
		got, err := read(c, string(b))
		if diff := cmp.Diff(want, got, exactly()); err != nil || diff != "" {
			t.Fatalf("%v %s", err, diff)
		}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		fromJSON := new(everything)
		if err := json.Unmarshal(text, fromJSON); err != nil {
			t.Fatal(err)
		}
		got, err = read(c, string(text))
		if diff := cmp.Diff(fromJSON, got, exactly()); err != nil || diff != "" {
			t.Fatalf("JSON: %v %s", err, diff)
		}
		damaged := bytes.Clone(b[:rapid.IntRange(0, len(b)).Draw(t, "cut")])
		if len(damaged) > 0 {
			damaged[rapid.IntRange(0, len(damaged)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		_, _ = read(c, string(damaged)) // any answer but a panic
	})
}

// A program reads what another version wrote as far as both know the fields.
func TestFieldsComeAndGo(t *testing.T) {
	type old struct {
		Name string   `json:"name"`
		Gone []string `json:"gone"`
		Size int      `json:"size"`
	}
	type newer struct {
		Size  int    `json:"size"`
		Added bool   `json:"added"`
		Name  string `json:"name"`
	}
	b := New("old", reflect.TypeFor[old]()).Append(nil, &old{"a", []string{"b"}, 3})
	got, err := read(New("newer", reflect.TypeFor[newer]()), string(b))
	if diff := cmp.Diff(&newer{Size: 3, Name: "a"}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestDamagedRowsAreRefused(t *testing.T) {
	c := New("test", reflect.TypeFor[everything]())
	whole := c.Append(nil, &everything{ID: "x", Number: 5, List: []string{"a"}})
	for _, b := range [][]byte{nil, {}, {version, 1}, []byte("{"), whole[:len(whole)-1], append(bytes.Clone(whole), 0)} {
		if _, err := read(c, string(b)); err == nil {
			t.Errorf("%q was read", b)
		}
	}
}

func samplePort() *neutrino.Port {
	now := time.Unix(1_700_000_000, 0).UTC()
	return &neutrino.Port{
		ID: "11111111-1111-4111-8111-111111111111", NetworkID: "21111111-1111-4111-8111-111111111111", ProjectID: "default",
		AdminStateUp: true, Name: "port-1", Status: neutrino.PortDown, MAC: neutrino.MAC{0xfa, 0x16, 0x3e, 1, 2, 3},
		FixedIPs:       []neutrino.FixedIP{{SubnetID: "31111111-1111-4111-8111-111111111111", IPAddress: netip.MustParseAddr("10.0.0.1")}},
		SecurityGroups: []neutrino.ID{"7a9d0f6c-2f38-4c53-a3e5-9b07e8a4a4c1"}, PortSecurityEnabled: true,
		DeviceID: "41111111-1111-4111-8111-111111111111", DeviceOwner: "compute:nova",
		VNICType: "normal", VIFType: neutrino.VIFUnbound, Profile: "{}",
		Standard: neutrino.Standard{CreatedAt: now, UpdatedAt: now, RevisionNumber: 1},
	}
}

func BenchmarkAppendPort(b *testing.B) {
	c := New("ports", reflect.TypeFor[neutrino.Port]())
	port, buf := samplePort(), []byte(nil)
	for b.Loop() {
		buf = c.Append(buf[:0], port)
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}

func BenchmarkReadPort(b *testing.B) {
	c := New("ports", reflect.TypeFor[neutrino.Port]())
	text := string(c.Append(nil, samplePort()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := read(c, text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadPortAsJSON(b *testing.B) {
	c := New("ports", reflect.TypeFor[neutrino.Port]())
	buf, err := json.Marshal(samplePort())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := read(c, string(buf)); err != nil {
			b.Fatal(err)
		}
	}
}
