// Package strictjson reads JSON of which every attribute must be known. A
// program that leaves out what it does not know realises a part of what was
// asked: a rule without its remote address group lets the whole world in.
package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// UnknownError names the attributes that the program does not know and that are
// set, as paths: "remote_address_group_id", "fixed_ips.weight".
type UnknownError struct{ Attributes []string }

// Error names the attributes, a few of them.
func (e *UnknownError) Error() string {
	const most = 5
	names, more := e.Attributes, ""
	if len(names) > most {
		names, more = names[:most], fmt.Sprintf(" and %d more", len(e.Attributes)-most)
	}
	return "attribute not known here: " + strings.Join(names, ", ") + more
}

// Unmarshal is json.Unmarshal for one value that may not have an attribute that
// v's type lacks; the error is an [*UnknownError] then, and v is filled as far as
// it could be. An attribute that is null, false, 0, "" or empty counts as not
// set: every new attribute has to mean by that what programs before it did.
func Unmarshal(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err == nil && atEnd(d) {
		return nil
	}
	reflect.ValueOf(v).Elem().SetZero()
	if err := json.Unmarshal(b, v); err != nil {
		return err
	}
	d = json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var all any
	if err := d.Decode(&all); err != nil {
		return err
	}
	var unknown []string
	find(all, reflect.TypeOf(v).Elem(), "", &unknown)
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return &UnknownError{slices.Compact(unknown)}
}

func atEnd(d *json.Decoder) bool {
	_, err := d.Token()
	return errors.Is(err, io.EOF)
}

// find collects the paths of the attributes in value that typ lacks and that are
// set.
func find(value any, typ reflect.Type, path string, unknown *[]string) {
	typ = plain(typ)
	switch value := value.(type) {
	case []any:
		if typ.Kind() == reflect.Slice || typ.Kind() == reflect.Array {
			for _, item := range value {
				find(item, typ.Elem(), path, unknown)
			}
		}
	case map[string]any:
		if isLeaf(typ) || typ.Kind() != reflect.Struct {
			return
		}
		known := attributes(typ)
		for name, inner := range value {
			at := join(path, name)
			if field, ok := lookup(known, name); ok {
				find(inner, field, at, unknown)
			} else if !isEmpty(inner) {
				*unknown = append(*unknown, at)
			}
		}
	}
}

func lookup(known map[string]reflect.Type, name string) (reflect.Type, bool) {
	if typ, ok := known[name]; ok {
		return typ, true
	}
	for other, typ := range known { // as encoding/json does
		if strings.EqualFold(other, name) {
			return typ, true
		}
	}
	return nil, false
}

func isEmpty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case bool:
		return !value
	case string:
		return value == ""
	case json.Number:
		f, err := value.Float64()
		return err == nil && f == 0
	case []any:
		return len(value) == 0
	case map[string]any:
		for _, inner := range value {
			if !isEmpty(inner) {
				return false
			}
		}
		return true
	}
	return false
}

// plain is what a pointer points to.
func plain(typ reflect.Type) reflect.Type {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	return typ
}

// isLeaf reports whether a type reads its JSON itself.
func isLeaf(typ reflect.Type) bool {
	p := reflect.PointerTo(typ)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// attributes are the JSON names of a struct's fields, those of embedded structs
// among them.
func attributes(typ reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" || !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if _, outer := out[name]; !outer || len(f.Index) == 1 {
			out[name] = f.Type
		}
	}
	return out
}

// Attributes are the paths of all attributes that values of the type can have,
// sorted.
func Attributes(typ reflect.Type) []string {
	var out []string
	collect(typ, "", &out)
	slices.Sort(out)
	return slices.Compact(out)
}

func collect(typ reflect.Type, path string, out *[]string) {
	typ = plain(typ)
	switch {
	case isLeaf(typ):
	case typ.Kind() == reflect.Slice || typ.Kind() == reflect.Array:
		collect(typ.Elem(), path, out)
	case typ.Kind() == reflect.Struct:
		for name, field := range attributes(typ) {
			*out = append(*out, join(path, name))
			collect(field, join(path, name), out)
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
