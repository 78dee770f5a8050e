package bounds

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func never() error { return nil }

// standard is what encoding/json makes of a text.
func standard(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return v, nil
}

// same fails where the two do not agree about a text.
func same(t *testing.T, text []byte) {
	t.Helper()
	want, wrong := standard(text)
	_, refused := Check(text, Shape{}, never)
	got, err := Build(text, never)
	var r *Refused
	if errors.As(refused, &r) && r != errSyntax {
		return // beyond a bound of ours
	}
	if (wrong == nil) != (err == nil && refused == nil) {
		t.Fatalf("%q: encoding/json says %v, Check %v, Build %v", text, wrong, refused, err)
	}
	if wrong == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: %#v, want %#v", text, got, want)
	}
}

func TestABodyIsReadAsEncodingJSONReadsIt(t *testing.T) {
	for _, text := range []string{
		``, ` `, `{}`, `[]`, ` { } `, `[ ]`, `{"a":1}`, `{"a":1,"a":2}`, `{"a":{"b":[1,2.5,-3e4,"x",null,true,false]}}`,
		`{"a":"\u00e9\n\"\\\/"}`, `{"a":"\ud83d\ude00"}`, `{"a":"\ud83d"}`, `{"\u0061":1}`, "{\"a\":\"\xff\"}", `{"a":01}`, `{"a":1.}`, `{"a":-}`,
		`{"a":1e}`, `{"a":+1}`, `{"a" :1 , "b" : 2}`, `{"a":1,}`, `{,}`, `[1,]`, `[,1]`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1}}`, `{"a":1} {}`, `tru`,
		`truex`, `nullnull`, `"x`, `"x\`, `"\x"`, `"\u12"`, "\"\n\"", `[[[]]]`, `{"a":[}`, `1`, `"x"`, `null`, `[1 2]`, `{"a":1 "b":2}`,
	} {
		same(t, []byte(text))
	}
}

func FuzzABodyIsReadAsEncodingJSONReadsIt(f *testing.F) {
	f.Add([]byte(`{"port":{"name":"\u00e9","fixed_ips":[{"ip_address":"10.0.0.1"}],"n":-1.5e3}}`))
	f.Fuzz(func(t *testing.T, text []byte) { same(t, text) })
}

func network() Shape {
	return Shape{One: "network", Many: "networks", Knows: func(name string) bool { return name == "name" || name == "mtu" }}
}

// The names in a body are looked at before a map is made of it, in one object and
// in each of many, also where each is wrapped again.
func TestUnknownNamesAreFoundBeforeAValueIsMade(t *testing.T) {
	for body, unknown := range map[string]string{
		`{"network":{"name":"x","mtu":{"deep":1}}}`:                         "",
		`{"network":{"nome":"x","mtu":1,"b":2}}`:                            "nome b",
		`{"networks":[{"name":"x"},{"network":{"name":"y","nome":"z"}}]}`:   "nome",
		`{"networks":[{"name":"x"},{"n\u006fme":"z"}]}`:                     "nome",
		`{"other":{"nome":1}}`:                                              "",
		`{"networks":{"nome":1}}`:                                           "",
		`{"network":[1]}`:                                                   "",
		`{"networks":[` + strings.Repeat(`{"a":1},`, 100) + `{"b":1}]}`:     "a",
		`{"network":{` + strings.Repeat(`"a":1,`, 100_000) + `"name":"x"}}`: strings.TrimSpace(strings.Repeat("a ", mostUnknown)),
	} {
		_, err := Check([]byte(body), network(), never)
		r, _ := IsRefused(err)
		if unknown == "" && err != nil || unknown != "" && (r == nil || strings.Join(r.Unknown, " ") != unknown) {
			t.Errorf("%.60s: %v, want unknown %q", body, err, unknown)
		}
	}
}

func TestABodyBeyondABoundIsRefused(t *testing.T) {
	deep := `{"network":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`
	many := `{"networks":[{}` + strings.Repeat(`,{}`, MostItems) + `]}`
	name := `{"network":{"` + strings.Repeat("x", 300) + `":1}}`
	for body, reason := range map[string]string{deep: "inside each other", many: "10000 objects", name: "255 bytes"} {
		_, err := Check([]byte(body), network(), never)
		if r, ok := IsRefused(err); !ok || !strings.Contains(r.Reason, reason) {
			t.Errorf("%.40s: %v, want %q", body, err, reason)
		}
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// Looking through 4 MB that are refused takes next to no memory: the program of
// before made a gigabyte of maps of 32 such bodies.
func TestARefusedBodyCostsNoMemory(t *testing.T) {
	for name, body := range map[string]string{
		"unknown attribute": `{"networks":[` + strings.Repeat(`{"name":"x"},`, 9000) + `{"nome":"` + strings.Repeat("x", 3<<20) + `"}]}`,
		"not JSON":          `{"networks":[` + strings.Repeat(`{"name":"x"},`, 9000) + `}`,
		"too many":          `{"networks":[` + strings.Repeat(`{},`, 1_300_000) + `{}]}`,
		"cut short":         `{"network":{"name":"` + strings.Repeat("x", 4<<20),
		"half a million":    `{"network":{"mtu":[` + strings.Repeat(`{"a":{}},`, 400_000) + `]`,
	} {
		text := []byte(body)
		made := allocated(func() {
			if _, err := Check(text, network(), never); err == nil {
				t.Errorf("%s: was let pass", name)
			}
		})
		if made > 1<<20 {
			t.Errorf("%s: %d bytes of %d", name, made, len(text))
		}
	}
}

// The estimate is what decides whether a body is let in: it is not below what its
// values take.
func TestTheEstimateIsNotBelowTheMemory(t *testing.T) {
	for name, body := range map[string]string{
		"small maps":  `{"x":[` + strings.Repeat(`{"a":1},`, 100_000) + `{}]}`,
		"empty maps":  `{"x":[` + strings.Repeat(`{},`, 300_000) + `{}]}`,
		"empty lists": `{"x":[` + strings.Repeat(`[],`, 300_000) + `[]]}`,
		"numbers":     `{"x":[` + strings.Repeat(`1,`, 500_000) + `1]}`,
		"long text":   `{"x":"` + strings.Repeat("x", 1<<20) + `"}`,
		"ports":       `{"ports":[` + strings.Repeat(`{"network_id":"0123","name":"vm-1","device_id":"x","security_groups":["a"]},`, 9000) + `{}]}`,
	} {
		text := []byte(body)
		estimate, err := Check(text, Shape{}, never)
		if err != nil {
			t.Fatal(err)
		}
		made := allocated(func() {
			if _, err := Build(text, never); err != nil {
				t.Error(err)
			}
		})
		// What grew on the way is garbage: a slice that doubles takes three times as much.
		if made > 3*estimate {
			t.Errorf("%s: %d bytes were made, the estimate is %d", name, made, estimate)
		}
	}
}

// Long bodies are worked on in stretches, and end when the client has left.
func TestALongBodyPauses(t *testing.T) {
	text := []byte(`{"x":[` + strings.Repeat(`{"a":1},`, 100_000) + `{}]}`)
	n, gone := 0, errors.New("gone")
	count := func() error { n++; return nil }
	if _, err := Check(text, Shape{}, count); err != nil || n < len(text)/stretch/2 {
		t.Errorf("%d pauses while looking, %v", n, err)
	}
	n = 0
	if _, err := Build(text, count); err != nil || n < len(text)/stretch/2 {
		t.Errorf("%d pauses while building, %v", n, err)
	}
	if _, err := Build(text, func() error { return gone }); !errors.Is(err, gone) {
		t.Errorf("went on: %v", err)
	}
}
