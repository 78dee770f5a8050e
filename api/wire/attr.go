// Package wire is the form of values on the wire, for the api station: what the
// tags of a noun say of its attributes, and how JSON becomes a value of them and
// a value JSON.
package wire

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unsafe"

	"neutrino"
)

// Attribute is one attribute of a resource: what its struct tag says.
type Attribute struct {
	Name   string
	offset uintptr      // of the field in the noun
	Type   reflect.Type // of the field

	Post, Put    bool // may be sent with the verb; who may, the policy says
	Filter, Sort bool
	Required     bool
	UUID         bool // the text must be a UUID
	Null         bool // null is accepted, and an unset value is shown as null

	Longest   int // longest text in characters; 0 is no limit
	least     int64
	Bounded   bool // least holds
	Enum      []string
	Initial   string // the value of an attribute that a POST leaves out
	Defaulted bool   // initial holds
	explicit  bool   // no value is the default, so that every one is a setting
}

// Attributes is the attribute table of one noun.
type Attributes struct {
	List   []*Attribute // in the order of the struct
	ByName map[string]*Attribute
}

// AttributesOf reads the struct tags of T. It panics on a tag that it does not
// understand: that is a defect of the program, and every start finds it.
func AttributesOf[T any]() *Attributes {
	t := &Attributes{ByName: map[string]*Attribute{}}
	t.read(reflect.TypeFor[T](), 0)
	return t
}

// read reads the tags of a struct that begins at the offset in the noun.
func (t *Attributes) read(typ reflect.Type, offset uintptr) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Anonymous {
			t.read(f.Type, offset+f.Offset)
			continue
		}
		tag, ok := f.Tag.Lookup("api")
		if !ok {
			panic(fmt.Sprintf("wire: %s.%s has no api tag", typ, f.Name))
		}
		if tag == "internal" {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		a := &Attribute{Name: name, offset: offset + f.Offset, Type: f.Type}
		for rule := range strings.SplitSeq(tag, ",") {
			if err := a.rule(rule); err != nil {
				panic(fmt.Sprintf("wire: %s.%s: %v", typ, f.Name, err))
			}
		}
		t.List = append(t.List, a)
		t.ByName[name] = a
	}
}

// rule applies one word of a tag.
func (a *Attribute) rule(word string) error {
	key, value, _ := strings.Cut(word, "=")
	var err error
	switch key {
	case "":
	case "post":
		a.Post = true
	case "put":
		a.Put = true
	case "filter":
		a.Filter = true
	case "sort":
		a.Sort = true
	case "required":
		a.Required = true
	case "uuid":
		a.UUID = true
	case "null":
		a.Null = true
	case "default":
		a.Initial, a.Defaulted = value, true
	case "explicit":
		a.explicit = true
	case "max":
		a.Longest, err = strconv.Atoi(value)
	case "min":
		a.Bounded = true
		a.least, err = strconv.ParseInt(value, 10, 64)
	case "enum":
		a.Enum = strings.Split(value, "|")
	default:
		return fmt.Errorf("unknown rule %q", word)
	}
	return err
}

// Of is a pointer to the attribute's field in row, which is a pointer to the
// noun. Everything else switches on the pointer's type.
func (a *Attribute) Of(row any) any { return a.in(row).Interface() }

// in is Of for reflection. The way by the offset is a third of that by the path of
// the field, and a list goes it a hundred thousand times.
func (a *Attribute) in(row any) reflect.Value {
	return reflect.NewAt(a.Type, unsafe.Add(reflect.ValueOf(row).UnsafePointer(), a.offset))
}

// Scratch is a pointer to a new, unset value of the attribute's type.
func (a *Attribute) Scratch() any { return reflect.New(a.Type).Interface() }

// IsUnset reports whether row holds the attribute's default: the one that its
// tag names, or else the zero value. An attribute whose default is no value at
// all is set by any.
func (a *Attribute) IsUnset(row any) bool {
	p := a.Of(row)
	switch {
	case a.explicit:
		return false
	case a.Defaulted:
		return Text(p) == a.Initial
	}
	return reflect.ValueOf(p).Elem().IsZero()
}

// CopyTo copies the attribute from one noun to another.
func (a *Attribute) CopyTo(dst, src any) {
	a.in(dst).Elem().Set(a.in(src).Elem())
}

// StandardOf is the embedded standard attributes of a noun, if it has them.
func StandardOf(row any) (neutrino.Standard, bool) {
	f := reflect.ValueOf(row).Elem().FieldByName("Standard")
	if !f.IsValid() {
		return neutrino.Standard{}, false
	}
	s, ok := f.Interface().(neutrino.Standard)
	return s, ok
}

// words writes a rule's values as Neutron lists them: ['a', 'b'] or [4, 6].
func (a *Attribute) words() string {
	var quoted []string
	for _, e := range a.Enum {
		if a.Type.Kind() == reflect.String {
			e = "'" + e + "'"
		}
		quoted = append(quoted, e)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// fits reports whether n is a value of the attribute's integer type.
func (a *Attribute) fits(n int64) bool {
	return a.Type.Kind() == reflect.Int64 || n >= math.MinInt32 && n <= math.MaxInt32
}
