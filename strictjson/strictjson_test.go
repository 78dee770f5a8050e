package strictjson

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"testing"
)

type inner struct {
	Address netip.Addr `json:"address"`
}

type embedded struct {
	Name string `json:"name"`
}

type outer struct {
	embedded
	Inner []inner        `json:"inner"`
	Last  *inner         `json:"last"`
	Free  map[string]any `json:"free"`
}

func TestAnAttributeThatIsSetMustBeKnown(t *testing.T) {
	for text, unknown := range map[string][]string{
		`{"name":"a","inner":[{"address":"192.0.2.1"}],"free":{"anything":1}}`: nil,
		`{"name":"a","new":null,"inner":[{"later":false}],"last":{"n":0}}`:     nil,
		`{"name":"a","new":{"deep":[]}}`:                                       nil,
		`{"name":"a","new":"x"}`:                                               {"new"},
		`{"inner":[{"later":true},{"later":true}],"last":{"n":1}}`:             {"inner.later", "last.n"},
		`{"new":{"deep":[0]}}`:                                                 {"new"},
	} {
		var v outer
		err := Unmarshal([]byte(text), &v)
		var u *UnknownError
		switch {
		case unknown == nil && err != nil:
			t.Errorf("%s: %v", text, err)
		case unknown != nil && (!errors.As(err, &u) || !slices.Equal(u.Attributes, unknown)):
			t.Errorf("%s: %v, want %v", text, err, unknown)
		}
	}
	for _, text := range []string{``, `[]`, `{"name":1}`, `{"name":"a"} x`, `{"name":"a"}{"new":1}`} {
		if err := Unmarshal([]byte(text), &outer{}); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestAttributesAreListedByPath(t *testing.T) {
	want := []string{"free", "inner", "inner.address", "last", "last.address", "name"}
	if got := Attributes(reflect.TypeFor[outer]()); !slices.Equal(got, want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
}
