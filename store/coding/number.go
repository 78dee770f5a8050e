package coding

// uvarint splits off a number as encoding/binary.PutUvarint writes it.
func uvarint(s string) (n uint64, rest string, ok bool) {
	for i := range min(len(s), 10) {
		b := s[i]
		if b < 0x80 {
			return n | uint64(b)<<(7*i), s[i+1:], i < 9 || b <= 1
		}
		n |= uint64(b&0x7f) << (7 * i)
	}
	return 0, "", false
}

// varint splits off a number as encoding/binary.PutVarint writes it.
func varint(s string) (n int64, rest string, ok bool) {
	u, rest, ok := uvarint(s)
	return int64(u>>1) ^ -int64(u&1), rest, ok
}
