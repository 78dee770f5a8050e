package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTextSurvivesTheEncoder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.String().Draw(rt, "text")
		var got string
		if err := json.Unmarshal(AppendString(nil, want), &got); err != nil || got != want {
			rt.Fatalf("%q became %q: %v", want, got, err)
		}
	})
	for in, want := range map[string]string{"\x00\n\"\\\x1f": `"\u0000\u000a\"\\\u001f"`, "a\xffb\xfe": "\"a\ufffdb\ufffd\"", "é": `"é"`} {
		if got := string(AppendString(nil, in)); got != want {
			t.Errorf("%q became %s, want %s", in, got, want)
		}
	}
}

func TestAMessageRepeatsLittleOfALongValue(t *testing.T) {
	long := strings.Repeat("é", 5000)
	if got := Show(long); len(got) > longestShown+3 || !strings.HasPrefix(long, strings.TrimSuffix(got, "…")) {
		t.Errorf("%d bytes", len(got))
	}
	for want, raw := range map[string]any{"None": nil, "True": true, "False": false, "x": "x", "[1,null]": []any{1, nil}} {
		if got := Show(raw); got != want {
			t.Errorf("%v is shown as %s", raw, got)
		}
	}
}

func TestAWrongStructTagStopsTheProgram(t *testing.T) {
	for name, read := range map[string]func(){
		"unknown rule": func() {
			AttributesOf[struct {
				A string `json:"a" api:"pots"`
			}]()
		},
		"no tag": func() {
			AttributesOf[struct {
				A string `json:"a"`
			}]()
		},
		"bad number": func() {
			AttributesOf[struct {
				A string `json:"a" api:"max=many"`
			}]()
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is accepted", name)
				}
			}()
			read()
		}()
	}
}
