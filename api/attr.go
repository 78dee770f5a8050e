package api

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"neutrino"
)

// attribute is one attribute of a resource: what its struct tag says.
type attribute struct {
	name string
	path []int        // the field, for reflection
	typ  reflect.Type // of the field

	post, put    bool // may be sent with the verb; who may, the policy says
	filter, sort bool
	required     bool
	uuid         bool // the text must be a UUID
	null         bool // null is accepted, and an unset value is shown as null

	longest   int // longest text in characters; 0 is no limit
	least     int64
	bounded   bool // least holds
	enum      []string
	initial   string // the value of an attribute that a POST leaves out
	defaulted bool   // initial holds
	explicit  bool   // no value is the default, so that every one is a setting
}

// attributes is the attribute table of one noun.
type attributes struct {
	list   []*attribute // in the order of the struct
	byName map[string]*attribute
}

// attributesOf reads the struct tags of T. It panics on a tag that it does not
// understand: that is a defect of the program, and every start finds it.
func attributesOf[T any]() *attributes {
	t := &attributes{byName: map[string]*attribute{}}
	t.read(reflect.TypeFor[T](), nil)
	return t
}

func (t *attributes) read(typ reflect.Type, prefix []int) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		path := append(append([]int(nil), prefix...), i)
		if f.Anonymous {
			t.read(f.Type, path)
			continue
		}
		tag, ok := f.Tag.Lookup("api")
		if !ok {
			panic(fmt.Sprintf("api: %s.%s has no api tag", typ, f.Name))
		}
		if tag == "internal" {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		a := &attribute{name: name, path: path, typ: f.Type}
		for rule := range strings.SplitSeq(tag, ",") {
			if err := a.rule(rule); err != nil {
				panic(fmt.Sprintf("api: %s.%s: %v", typ, f.Name, err))
			}
		}
		t.list = append(t.list, a)
		t.byName[name] = a
	}
}

// rule applies one word of a tag.
func (a *attribute) rule(word string) error {
	key, value, _ := strings.Cut(word, "=")
	var err error
	switch key {
	case "":
	case "post":
		a.post = true
	case "put":
		a.put = true
	case "filter":
		a.filter = true
	case "sort":
		a.sort = true
	case "required":
		a.required = true
	case "uuid":
		a.uuid = true
	case "null":
		a.null = true
	case "default":
		a.initial, a.defaulted = value, true
	case "explicit":
		a.explicit = true
	case "max":
		a.longest, err = strconv.Atoi(value)
	case "min":
		a.bounded = true
		a.least, err = strconv.ParseInt(value, 10, 64)
	case "enum":
		a.enum = strings.Split(value, "|")
	default:
		return fmt.Errorf("unknown rule %q", word)
	}
	return err
}

// of is a pointer to the attribute's field in row, which is a pointer to the
// noun. Everything else switches on the pointer's type.
func (a *attribute) of(row any) any {
	return reflect.ValueOf(row).Elem().FieldByIndex(a.path).Addr().Interface()
}

// scratch is a pointer to a new, unset value of the attribute's type.
func (a *attribute) scratch() any { return reflect.New(a.typ).Interface() }

// isUnset reports whether row holds the attribute's default: the one that its
// tag names, or else the zero value. An attribute whose default is no value at
// all is set by any.
func (a *attribute) isUnset(row any) bool {
	p := a.of(row)
	switch {
	case a.explicit:
		return false
	case a.defaulted:
		return text(p) == a.initial
	}
	return reflect.ValueOf(p).Elem().IsZero()
}

// copyTo copies the attribute from one noun to another.
func (a *attribute) copyTo(dst, src any) {
	from := reflect.ValueOf(src).Elem().FieldByIndex(a.path)
	reflect.ValueOf(dst).Elem().FieldByIndex(a.path).Set(from)
}

// standardOf is the embedded standard attributes of a noun, if it has them.
func standardOf(row any) (neutrino.Standard, bool) {
	f := reflect.ValueOf(row).Elem().FieldByName("Standard")
	if !f.IsValid() {
		return neutrino.Standard{}, false
	}
	s, ok := f.Interface().(neutrino.Standard)
	return s, ok
}

// words writes a rule's values as Neutron lists them: ['a', 'b'] or [4, 6].
func (a *attribute) words() string {
	var quoted []string
	for _, e := range a.enum {
		if a.typ.Kind() == reflect.String {
			e = "'" + e + "'"
		}
		quoted = append(quoted, e)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// fits reports whether n is a value of the attribute's integer type.
func (a *attribute) fits(n int64) bool {
	return a.typ.Kind() == reflect.Int64 || n >= math.MinInt32 && n <= math.MaxInt32
}
