package neutrino

import "encoding/hex"

// ID names one object. For objects that the API creates it is a random
// version 4 UUID in its 36-character text form (RFC 9562); a security group
// rule may refer to a group by any text of at most 36 characters.
type ID string

// NewID makes a version 4 UUID out of 16 random bytes.
func NewID(random [16]byte) ID {
	b := random
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return UUID(b)
}

// UUID is the text form of a UUID's bytes, in lower case.
func UUID(b [16]byte) ID {
	var text [36]byte
	at := 0
	for _, part := range [...][]byte{b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]} {
		if at > 0 {
			text[at] = '-'
			at++
		}
		at += hex.Encode(text[at:], part)
	}
	return ID(text[:])
}

// ParseUUID is the bytes of a text that [UUID] writes; ok is false for any other,
// also for one in upper case.
func ParseUUID[T ~string | ~[]byte](s T) (b [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return b, false
	}
	for i, at := range [...]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34} {
		high, low := digit(s[at]), digit(s[at+1])
		if high|low > 0xf {
			return b, false
		}
		b[i] = high<<4 | low
	}
	return b, true
}

// digit is the value of a hexadecimal digit in lower case, 0xff for all else.
func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// IsUUID reports whether the text has the form of a UUID: 36 characters,
// hexadecimal digits and dashes in their places.
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
				return false
			}
		}
	}
	return true
}
