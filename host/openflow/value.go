package openflow

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// value is a field's content as one number, up to 128 bits wide.
type value struct{ hi, lo uint64 }

func number(n uint64) value { return value{lo: n} }

// ones is a value with the n lowest bits set.
func ones(n int) value {
	switch {
	case n >= 128:
		return value{^uint64(0), ^uint64(0)}
	case n > 64:
		return value{1<<(n-64) - 1, ^uint64(0)}
	case n == 64:
		return value{0, ^uint64(0)}
	}
	return value{0, 1<<n - 1}
}

func (v value) and(m value) value { return value{v.hi & m.hi, v.lo & m.lo} }
func (v value) isZero() bool      { return v.hi == 0 && v.lo == 0 }

// fits reports whether v needs no more than n bits.
func (v value) fits(n int) bool { return v == v.and(ones(n)) }

func (v value) shiftRight(n int) value {
	switch {
	case n >= 128:
		return value{}
	case n >= 64:
		return value{0, v.hi >> (n - 64)}
	case n == 0:
		return v
	}
	return value{v.hi >> n, v.lo>>n | v.hi<<(64-n)}
}

// trailingZeros is the number of the lowest bit set, 128 for none.
func (v value) trailingZeros() int {
	if v.lo != 0 {
		return bits.TrailingZeros64(v.lo)
	}
	return 64 + bits.TrailingZeros64(v.hi)
}

func (v value) not() value { return value{^v.hi, ^v.lo} }

// prefix is the length of a mask of leading ones in a field of n bits, or -1.
func (v value) prefix(n int) int {
	zeros := min(v.trailingZeros(), n)
	low := ones(zeros)
	if v != (value{ones(n).hi &^ low.hi, ones(n).lo &^ low.lo}) {
		return -1
	}
	return n - zeros
}

// prefixMask is the mask of the n leading bits of a field of width bits.
func prefixMask(n, width int) value {
	return ones(width).and(ones(width - n).not())
}

// append adds v as size bytes in network order.
func (v value) append(dst []byte, size int) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], v.hi)
	binary.BigEndian.PutUint64(b[8:], v.lo)
	return append(dst, b[16-size:]...)
}

// readValue reads up to 16 bytes in network order.
func readValue(b []byte) value {
	var v value
	for _, c := range b {
		v.hi = v.hi<<8 | v.lo>>56
		v.lo = v.lo<<8 | uint64(c)
	}
	return v
}

// form is how a field's value is written.
type form uint8

const (
	formHex form = iota
	formDecimal
	formMAC
	formIPv4
	formIPv6
	formPort
	formVLAN
	formState
)

// parseValue reads a value in the form's own writing; numbers may be decimal or hex.
func parseValue(f form, text string) (value, error) {
	switch f {
	case formMAC:
		return parseMAC(text)
	case formIPv4, formIPv6:
		if strings.HasPrefix(text, "0x") {
			break
		}
		a, err := netip.ParseAddr(text)
		if err != nil || a.Is4() != (f == formIPv4) || a.Zone() != "" {
			return value{}, fmt.Errorf("bad address %q", text)
		}
		if a.Is4() {
			b := a.As4()
			return readValue(b[:]), nil
		}
		b := a.As16()
		return readValue(b[:]), nil
	}
	return parseNumber(text)
}

func parseNumber(text string) (value, error) {
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return value{}, fmt.Errorf("bad number %q", text)
	}
	return number(n), nil
}

func parseMAC(text string) (value, error) {
	if len(text) != 17 {
		return value{}, fmt.Errorf("bad MAC address %q", text)
	}
	var n uint64
	for i := 0; i < 17; i++ {
		c := text[i]
		if i%3 == 2 {
			if c != ':' {
				return value{}, fmt.Errorf("bad MAC address %q", text)
			}
			continue
		}
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return value{}, fmt.Errorf("bad MAC address %q", text)
		}
		n = n<<4 | uint64(c)
	}
	return number(n), nil
}

// parseMask reads what stands behind the slash.
func parseMask(f form, text string, width int) (value, error) {
	if (f == formIPv4 || f == formIPv6) && !strings.ContainsAny(text, ".:x") {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil || int(n) > width {
			return value{}, fmt.Errorf("bad prefix length %q", text)
		}
		return prefixMask(int(n), width), nil
	}
	return parseValue(f, text)
}

// appendValue writes a value in the form's writing.
func appendValue(dst []byte, f form, v value) []byte {
	switch f {
	case formDecimal:
		return strconv.AppendUint(dst, v.lo, 10)
	case formMAC:
		return appendMAC(dst, v)
	case formIPv4:
		return netip.AddrFrom4([4]byte(v.append(nil, 4))).AppendTo(dst)
	case formIPv6:
		return netip.AddrFrom16([16]byte(v.append(nil, 16))).AppendTo(dst)
	}
	return appendHex(dst, v)
}

func appendMAC(dst []byte, v value) []byte {
	const digits = "0123456789abcdef"
	for shift := 40; shift >= 0; shift -= 8 {
		c := byte(v.lo >> shift)
		dst = append(dst, digits[c>>4], digits[c&15])
		if shift > 0 {
			dst = append(dst, ':')
		}
	}
	return dst
}

func appendHex(dst []byte, v value) []byte {
	dst = append(dst, "0x"...)
	if v.hi != 0 {
		dst = strconv.AppendUint(dst, v.hi, 16)
		low := strconv.AppendUint(nil, v.lo, 16)
		for i := len(low); i < 16; i++ {
			dst = append(dst, '0')
		}
		return append(dst, low...)
	}
	return strconv.AppendUint(dst, v.lo, 16)
}

// appendMasked writes value/mask; a mask of leading ones of an address is
// written as a prefix length.
func appendMasked(dst []byte, f form, v, mask value) []byte {
	width := 0
	switch f {
	case formIPv4:
		width = 32
	case formIPv6:
		width = 128
	case formDecimal:
		f = formHex
	}
	dst = append(appendValue(dst, f, v), '/')
	if width > 0 {
		if n := mask.prefix(width); n >= 0 {
			return strconv.AppendInt(dst, int64(n), 10)
		}
	}
	return appendValue(dst, f, mask)
}
