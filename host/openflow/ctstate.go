package openflow

import (
	"fmt"
	"strings"
)

// stateFlags are the bits of ct_state from the lowest, ovs-fields(7).
var stateFlags = [...]string{"new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"}

// parseState reads "+trk-new" or "0x20/0x21".
func parseState(text string) (v, mask value, err error) {
	if text != "" && text[0] != '+' && text[0] != '-' {
		val, m, masked := strings.Cut(text, "/")
		if v, err = parseNumber(val); err != nil {
			return v, mask, err
		}
		mask = ones(32)
		if masked {
			mask, err = parseNumber(m)
		}
		if err == nil && (!v.fits(32) || !mask.fits(32)) {
			err = fmt.Errorf("connection state does not fit into 32 bits")
		}
		return v, mask, err
	}
	for rest := text; rest != ""; {
		sign := rest[0]
		end := strings.IndexAny(rest[1:], "+-") + 1
		if end == 0 {
			end = len(rest)
		}
		bit, ok := stateBit(rest[1:end])
		if !ok || mask.lo&bit != 0 {
			return v, mask, fmt.Errorf("bad connection state %q", rest[:end])
		}
		mask.lo |= bit
		if sign == '+' {
			v.lo |= bit
		}
		rest = rest[end:]
	}
	if mask.isZero() {
		return v, mask, fmt.Errorf("no connection state")
	}
	return v, mask, nil
}

func stateBit(name string) (uint64, bool) {
	for i, f := range stateFlags {
		if f == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// appendState writes flags with their signs, from the highest: "+trk-new".
func appendState(dst []byte, v, mask value) []byte {
	if mask.lo>>len(stateFlags) != 0 {
		if mask == ones(32) {
			return appendHex(dst, v)
		}
		return appendMasked(dst, formHex, v, mask)
	}
	for i := len(stateFlags) - 1; i >= 0; i-- {
		bit := uint64(1) << i
		switch {
		case mask.lo&bit == 0:
			continue
		case v.lo&bit != 0:
			dst = append(dst, '+')
		default:
			dst = append(dst, '-')
		}
		dst = append(dst, stateFlags[i]...)
	}
	return dst
}
