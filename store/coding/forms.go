package coding

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"time"
)

// errShort is a row that ends too early.
var errShort = errors.New("the row is damaged")

type boolForm struct{}

func (boolForm) unset(v reflect.Value) bool { return !v.Bool() }

func (boolForm) append(b []byte, v reflect.Value) []byte {
	if v.Bool() {
		return append(b, 1)
	}
	return append(b, 0)
}

func (boolForm) read(b []byte, v reflect.Value, _ *Texts) error {
	if len(b) != 1 {
		return errShort
	}
	v.SetBool(b[0] != 0)
	return nil
}

type textForm struct{}

func (textForm) unset(v reflect.Value) bool { return v.Len() == 0 }

func (textForm) append(b []byte, v reflect.Value) []byte { return append(b, v.String()...) }

func (textForm) read(b []byte, v reflect.Value, texts *Texts) error {
	v.SetString(texts.Of(b))
	return nil
}

type intForm struct{}

func (intForm) unset(v reflect.Value) bool { return v.Int() == 0 }

func (intForm) append(b []byte, v reflect.Value) []byte { return binary.AppendVarint(b, v.Int()) }

func (intForm) read(b []byte, v reflect.Value, _ *Texts) error {
	n, used := binary.Varint(b)
	if used != len(b) || used == 0 || v.OverflowInt(n) {
		return errShort
	}
	v.SetInt(n)
	return nil
}

type uintForm struct{}

func (uintForm) unset(v reflect.Value) bool { return v.Uint() == 0 }

func (uintForm) append(b []byte, v reflect.Value) []byte { return binary.AppendUvarint(b, v.Uint()) }

func (uintForm) read(b []byte, v reflect.Value, _ *Texts) error {
	n, used := binary.Uvarint(b)
	if used != len(b) || used == 0 || v.OverflowUint(n) {
		return errShort
	}
	v.SetUint(n)
	return nil
}

// bytesForm is that of an array of bytes.
type bytesForm struct{}

func (bytesForm) unset(v reflect.Value) bool { return v.IsZero() }

func (bytesForm) append(b []byte, v reflect.Value) []byte {
	for i := range v.Len() {
		b = append(b, byte(v.Index(i).Uint()))
	}
	return b
}

func (bytesForm) read(b []byte, v reflect.Value, _ *Texts) error {
	if len(b) != v.Len() {
		return errShort
	}
	copy(v.Slice(0, v.Len()).Bytes(), b)
	return nil
}

// sliceForm is a list of values with their lengths. An empty list is set, a nil
// one is not.
type sliceForm struct{ of form }

func (sliceForm) unset(v reflect.Value) bool { return v.IsNil() }

func (f sliceForm) append(b []byte, v reflect.Value) []byte {
	for i := range v.Len() {
		b = appendSized(b, f.of, v.Index(i))
	}
	return b
}

func (f sliceForm) read(b []byte, v reflect.Value, texts *Texts) error {
	n := 0
	for rest := b; len(rest) > 0; n++ {
		var err error
		if _, rest, err = sized(rest); err != nil {
			return err
		}
	}
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := range n {
		value, rest, _ := sized(b) // as counted
		if err := f.of.read(value, v.Index(i), texts); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

type pointerForm struct{ to form }

func (pointerForm) unset(v reflect.Value) bool { return v.IsNil() }

func (f pointerForm) append(b []byte, v reflect.Value) []byte { return f.to.append(b, v.Elem()) }

func (f pointerForm) read(b []byte, v reflect.Value, texts *Texts) error {
	v.Set(reflect.New(v.Type().Elem()))
	return f.to.read(b, v.Elem(), texts)
}

type addrForm struct{}

func (addrForm) unset(v reflect.Value) bool { return !v.Addr().Interface().(*netip.Addr).IsValid() }

func (addrForm) append(b []byte, v reflect.Value) []byte {
	b, _ = v.Addr().Interface().(*netip.Addr).AppendBinary(b) // never fails
	return b
}

func (addrForm) read(b []byte, v reflect.Value, _ *Texts) error {
	return v.Addr().Interface().(*netip.Addr).UnmarshalBinary(b)
}

type prefixForm struct{}

func (prefixForm) unset(v reflect.Value) bool {
	return !v.Addr().Interface().(*netip.Prefix).IsValid()
}

func (prefixForm) append(b []byte, v reflect.Value) []byte {
	b, _ = v.Addr().Interface().(*netip.Prefix).AppendBinary(b) // never fails
	return b
}

func (prefixForm) read(b []byte, v reflect.Value, _ *Texts) error {
	return v.Addr().Interface().(*netip.Prefix).UnmarshalBinary(b)
}

// timeForm is seconds and nanoseconds since 1970, read as UTC.
type timeForm struct{}

func (timeForm) unset(v reflect.Value) bool { return v.Addr().Interface().(*time.Time).IsZero() }

func (timeForm) append(b []byte, v reflect.Value) []byte {
	t := v.Addr().Interface().(*time.Time)
	return binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond()))
}

func (timeForm) read(b []byte, v reflect.Value, _ *Texts) error {
	seconds, used := binary.Varint(b)
	if used <= 0 {
		return errShort
	}
	nanos, more := binary.Uvarint(b[used:])
	if more <= 0 || used+more != len(b) {
		return errShort
	}
	*v.Addr().Interface().(*time.Time) = time.Unix(seconds, int64(nanos)).UTC()
	return nil
}

// jsonForm is that of all other types.
type jsonForm struct{}

func (jsonForm) unset(v reflect.Value) bool { return v.IsZero() }

func (jsonForm) append(b []byte, v reflect.Value) []byte {
	text, err := json.Marshal(v.Interface())
	if err != nil {
		// A noun that JSON cannot hold is a defect of the program.
		panic("store/coding: " + err.Error())
	}
	return append(b, text...)
}

func (jsonForm) read(b []byte, v reflect.Value, _ *Texts) error {
	return json.Unmarshal(b, v.Addr().Interface())
}
