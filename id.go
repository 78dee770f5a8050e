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
	text := make([]byte, 0, 36)
	for _, part := range [...][]byte{b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]} {
		if len(text) > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return ID(text)
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
