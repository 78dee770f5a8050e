// Package coding is the store station's form of a row on disk: the fields that are
// set, each under a number made of its JSON name, so that a program reads what
// an older or newer one wrote as far as both know the field. It is several
// times shorter to read than JSON, and it reads JSON too.
package coding

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// version is the first byte of a row; a row in JSON begins with a brace.
const version = 1

// Coder writes and reads the values of one struct type. It may be used by many
// goroutines.
type Coder struct {
	name string
	typ  reflect.Type
	form *structForm
}

// form writes and reads the values of one type. append is not called for an
// unset value; the bytes that read gets are what append wrote.
type form interface {
	unset(v reflect.Value) bool
	append(b []byte, v reflect.Value) []byte
	read(b []byte, v reflect.Value, texts *Texts) error
}

// New makes the coder of rows of a table, which are structs of the type.
func New(table string, typ reflect.Type) *Coder {
	return &Coder{name: table, typ: typ, form: newStructForm(typ)}
}

// Append writes the struct that row points to.
func (c *Coder) Append(b []byte, row any) []byte {
	return c.form.append(append(b, version), reflect.ValueOf(row).Elem())
}

// Read makes a new struct of what [Coder.Append] or encoding/json wrote, and
// returns a pointer to it. Texts may be nil.
func (c *Coder) Read(b []byte, texts *Texts) (any, error) {
	v := reflect.New(c.typ)
	var err error
	switch {
	case len(b) == 0:
		err = errShort
	case b[0] == version:
		err = c.form.read(b[1:], v.Elem(), texts)
	default:
		err = json.Unmarshal(b, v.Interface())
	}
	if err != nil {
		return nil, fmt.Errorf("store: row of %s: %w", c.name, err)
	}
	return v.Interface(), nil
}

// field is one field of a struct.
type field struct {
	number uint16
	path   []int
	form   form
}

// structForm is a list of fields: number, length and value of each that is set.
type structForm struct {
	fields   []field
	byNumber map[uint16]int
}

// newStructForm panics when two names have one number: that is a defect of the
// program, which every start finds.
func newStructForm(typ reflect.Type) *structForm {
	s := &structForm{byNumber: map[uint16]int{}}
	for _, f := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		hash := fnv.New32a()
		hash.Write([]byte(name)) // never fails
		number := uint16(hash.Sum32()>>16) ^ uint16(hash.Sum32())
		if at, taken := s.byNumber[number]; taken {
			panic(fmt.Sprintf("store/coding: %s.%s has the number of %v", typ, name, s.fields[at].path))
		}
		s.byNumber[number] = len(s.fields)
		s.fields = append(s.fields, field{number, f.Index, formOf(f.Type)})
	}
	return s
}

func (s *structForm) unset(v reflect.Value) bool { return v.IsZero() }

func (s *structForm) append(b []byte, v reflect.Value) []byte {
	for i := range s.fields {
		f := &s.fields[i]
		fv := at(v, f.path)
		if f.form.unset(fv) {
			continue
		}
		b = binary.LittleEndian.AppendUint16(b, f.number)
		b = appendSized(b, f.form, fv)
	}
	return b
}

func (s *structForm) read(b []byte, v reflect.Value, texts *Texts) error {
	next := 0 // the fields come in their order
	for len(b) > 0 {
		if len(b) < 2 {
			return errShort
		}
		number := binary.LittleEndian.Uint16(b)
		value, rest, err := sized(b[2:])
		if err != nil {
			return err
		}
		b = rest
		for next < len(s.fields) && s.fields[next].number != number {
			next++
		}
		i := next
		if i == len(s.fields) {
			known := false
			if i, known = s.byNumber[number]; !known {
				next = 0
				continue // a field that this program does not have
			}
		}
		f := &s.fields[i]
		next = i + 1
		if err := f.form.read(value, at(v, f.path), texts); err != nil {
			return err
		}
	}
	return nil
}

// at is FieldByIndex without its look for pointers.
func at(v reflect.Value, path []int) reflect.Value {
	for _, i := range path {
		v = v.Field(i)
	}
	return v
}

// appendSized writes a value with its length before it.
func appendSized(b []byte, f form, v reflect.Value) []byte {
	start := len(b)
	b = f.append(append(b, 0), v)
	n := len(b) - start - 1
	if n < 0x80 {
		b[start] = byte(n)
		return b
	}
	// The length takes more than the one byte left for it.
	var size [binary.MaxVarintLen64]byte
	used := binary.PutUvarint(size[:], uint64(n))
	b = append(b, size[:used-1]...)
	copy(b[start+used:], b[start+1:start+1+n])
	copy(b[start:], size[:used])
	return b
}

// sized splits off a value with its length.
func sized(b []byte) (value, rest []byte, err error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil, errShort
	}
	return b[used : used+int(n)], b[used+int(n):], nil
}

// formOf is the form of a type's values; JSON is that of types without one of
// their own here.
func formOf(typ reflect.Type) form {
	switch typ {
	case reflect.TypeFor[netip.Addr]():
		return addrForm{}
	case reflect.TypeFor[netip.Prefix]():
		return prefixForm{}
	case reflect.TypeFor[time.Time]():
		return timeForm{}
	}
	switch typ.Kind() {
	case reflect.Bool:
		return boolForm{}
	case reflect.String:
		return textForm{}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return intForm{}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return uintForm{}
	case reflect.Array:
		if typ.Elem().Kind() == reflect.Uint8 {
			return bytesForm{}
		}
	case reflect.Slice:
		return sliceForm{formOf(typ.Elem())}
	case reflect.Pointer:
		return pointerForm{formOf(typ.Elem())}
	case reflect.Struct:
		return newStructForm(typ)
	}
	return jsonForm{}
}
