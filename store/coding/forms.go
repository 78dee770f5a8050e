package coding

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"time"
	"unsafe"
)

// errShort is a row that ends too early.
var errShort = errors.New("the row is damaged")

// form writes and reads the values of one type, which p points to. append is not
// called for an unset value; the text that read gets is what append wrote, and
// texts that it reads are parts of it.
type form interface {
	unset(p unsafe.Pointer) bool
	append(b []byte, p unsafe.Pointer) []byte
	read(s string, p unsafe.Pointer) error
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
		return intForm{typ}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return uintForm{typ}
	case reflect.Array:
		if typ.Elem().Kind() == reflect.Uint8 {
			return bytesForm{typ.Len()}
		}
	case reflect.Slice:
		return sliceForm{formOf(typ.Elem()), typ, typ.Elem().Size()}
	case reflect.Pointer:
		return pointerForm{formOf(typ.Elem()), typ.Elem()}
	case reflect.Struct:
		return newStructForm(typ)
	}
	return jsonForm{typ}
}

type boolForm struct{}

func (boolForm) unset(p unsafe.Pointer) bool { return !*(*bool)(p) }

func (boolForm) append(b []byte, p unsafe.Pointer) []byte {
	if *(*bool)(p) {
		return append(b, 1)
	}
	return append(b, 0)
}

func (boolForm) read(s string, p unsafe.Pointer) error {
	if len(s) != 1 {
		return errShort
	}
	*(*bool)(p) = s[0] != 0
	return nil
}

type textForm struct{}

func (textForm) unset(p unsafe.Pointer) bool { return *(*string)(p) == "" }

func (textForm) append(b []byte, p unsafe.Pointer) []byte { return append(b, *(*string)(p)...) }

func (textForm) read(s string, p unsafe.Pointer) error {
	*(*string)(p) = s
	return nil
}

// intForm is that of signed integers; reflect knows their sizes.
type intForm struct{ typ reflect.Type }

func (f intForm) at(p unsafe.Pointer) reflect.Value { return reflect.NewAt(f.typ, p).Elem() }

func (f intForm) unset(p unsafe.Pointer) bool { return f.at(p).Int() == 0 }

func (f intForm) append(b []byte, p unsafe.Pointer) []byte {
	return binary.AppendVarint(b, f.at(p).Int())
}

func (f intForm) read(s string, p unsafe.Pointer) error {
	n, rest, ok := varint(s)
	if v := f.at(p); ok && rest == "" && !v.OverflowInt(n) {
		v.SetInt(n)
		return nil
	}
	return errShort
}

type uintForm struct{ typ reflect.Type }

func (f uintForm) at(p unsafe.Pointer) reflect.Value { return reflect.NewAt(f.typ, p).Elem() }

func (f uintForm) unset(p unsafe.Pointer) bool { return f.at(p).Uint() == 0 }

func (f uintForm) append(b []byte, p unsafe.Pointer) []byte {
	return binary.AppendUvarint(b, f.at(p).Uint())
}

func (f uintForm) read(s string, p unsafe.Pointer) error {
	n, rest, ok := uvarint(s)
	if v := f.at(p); ok && rest == "" && !v.OverflowUint(n) {
		v.SetUint(n)
		return nil
	}
	return errShort
}

// bytesForm is that of an array of so many bytes.
type bytesForm struct{ length int }

func (f bytesForm) at(p unsafe.Pointer) []byte { return unsafe.Slice((*byte)(p), f.length) }

func (f bytesForm) unset(p unsafe.Pointer) bool {
	for _, b := range f.at(p) {
		if b != 0 {
			return false
		}
	}
	return true
}

func (f bytesForm) append(b []byte, p unsafe.Pointer) []byte { return append(b, f.at(p)...) }

func (f bytesForm) read(s string, p unsafe.Pointer) error {
	if len(s) != f.length {
		return errShort
	}
	copy(f.at(p), s)
	return nil
}

// sliceForm is a list of values with their lengths. An empty list is set, a nil
// one is not.
type sliceForm struct {
	of   form
	typ  reflect.Type
	size uintptr // of a value
}

// slice is a slice of any type as the runtime has it (reflect.SliceHeader).
type slice struct {
	data     unsafe.Pointer
	len, cap int
}

func (sliceForm) unset(p unsafe.Pointer) bool { return (*slice)(p).data == nil }

func (f sliceForm) append(b []byte, p unsafe.Pointer) []byte {
	for i := range (*slice)(p).len {
		b = appendSized(b, f.of, f.item(p, i))
	}
	return b
}

func (f sliceForm) item(p unsafe.Pointer, i int) unsafe.Pointer {
	return unsafe.Add((*slice)(p).data, uintptr(i)*f.size)
}

func (f sliceForm) read(s string, p unsafe.Pointer) error {
	n := 0
	for rest := s; rest != ""; n++ {
		var err error
		if _, rest, err = sized(rest); err != nil {
			return err
		}
	}
	if _, texts := f.of.(textForm); texts {
		*(*[]string)(p) = make([]string, n) // reflect would take memory for the slice itself too
	} else {
		reflect.NewAt(f.typ, p).Elem().Set(reflect.MakeSlice(f.typ, n, n))
	}
	for i := range n {
		value, rest, _ := sized(s) // as counted
		if err := f.of.read(value, f.item(p, i)); err != nil {
			return err
		}
		s = rest
	}
	return nil
}

type pointerForm struct {
	to  form
	typ reflect.Type // of what it points to
}

func (pointerForm) unset(p unsafe.Pointer) bool { return *(*unsafe.Pointer)(p) == nil }

func (f pointerForm) append(b []byte, p unsafe.Pointer) []byte {
	return f.to.append(b, *(*unsafe.Pointer)(p))
}

func (f pointerForm) read(s string, p unsafe.Pointer) error {
	to := reflect.New(f.typ).UnsafePointer()
	*(*unsafe.Pointer)(p) = to
	return f.to.read(s, to)
}

type addrForm struct{}

func (addrForm) unset(p unsafe.Pointer) bool { return !(*netip.Addr)(p).IsValid() }

func (addrForm) append(b []byte, p unsafe.Pointer) []byte {
	b, _ = (*netip.Addr)(p).AppendBinary(b) // never fails
	return b
}

func (addrForm) read(s string, p unsafe.Pointer) error {
	if len(s) == 4 { // nearly all
		*(*netip.Addr)(p) = netip.AddrFrom4([4]byte([]byte(s)))
		return nil
	}
	return (*netip.Addr)(p).UnmarshalBinary([]byte(s))
}

type prefixForm struct{}

func (prefixForm) unset(p unsafe.Pointer) bool { return !(*netip.Prefix)(p).IsValid() }

func (prefixForm) append(b []byte, p unsafe.Pointer) []byte {
	b, _ = (*netip.Prefix)(p).AppendBinary(b) // never fails
	return b
}

func (prefixForm) read(s string, p unsafe.Pointer) error {
	return (*netip.Prefix)(p).UnmarshalBinary([]byte(s))
}

// timeForm is seconds and nanoseconds since 1970, read as UTC.
type timeForm struct{}

func (timeForm) unset(p unsafe.Pointer) bool { return (*time.Time)(p).IsZero() }

func (timeForm) append(b []byte, p unsafe.Pointer) []byte {
	t := (*time.Time)(p)
	return binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond()))
}

func (timeForm) read(s string, p unsafe.Pointer) error {
	seconds, rest, ok := varint(s)
	nanos, rest, more := uvarint(rest)
	if !ok || !more || rest != "" {
		return errShort
	}
	*(*time.Time)(p) = time.Unix(seconds, int64(nanos)).UTC()
	return nil
}

// jsonForm is that of all other types.
type jsonForm struct{ typ reflect.Type }

func (f jsonForm) unset(p unsafe.Pointer) bool { return reflect.NewAt(f.typ, p).Elem().IsZero() }

func (f jsonForm) append(b []byte, p unsafe.Pointer) []byte {
	text, err := json.Marshal(reflect.NewAt(f.typ, p).Interface())
	if err != nil {
		// A noun that JSON cannot hold is a defect of the program.
		panic("store/coding: " + err.Error())
	}
	return append(b, text...)
}

func (f jsonForm) read(s string, p unsafe.Pointer) error {
	return json.Unmarshal([]byte(s), reflect.NewAt(f.typ, p).Interface())
}
