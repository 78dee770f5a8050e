package openflow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// term is one field of a match. A port (in_port) is in port, not in value.
type term struct {
	f           *field
	value, mask value
	port        portRef
	unknown     []byte // a field that this package does not know, as it came
}

// match is a flow's match, terms in the order of the field table.
type match []term

const (
	vlanPresent = 0x1000
	vlanBits    = 0x1fff
)

type protocol struct{ ether, proto int }

// protocols are the short names of ovs-fields(7); canonical is their order of preference.
func protocolByName(name string) (protocol, bool) {
	switch name {
	case "arp":
		return protocol{etherARP, -1}, true
	case "rarp":
		return protocol{etherRARP, -1}, true
	case "ip":
		return protocol{etherIPv4, -1}, true
	case "ipv6":
		return protocol{etherIPv6, -1}, true
	case "icmp":
		return protocol{etherIPv4, protoICMP}, true
	case "icmp6":
		return protocol{etherIPv6, protoICMP6}, true
	case "tcp":
		return protocol{etherIPv4, protoTCP}, true
	case "tcp6":
		return protocol{etherIPv6, protoTCP}, true
	case "udp":
		return protocol{etherIPv4, protoUDP}, true
	case "udp6":
		return protocol{etherIPv6, protoUDP}, true
	case "sctp":
		return protocol{etherIPv4, protoSCTP}, true
	case "sctp6":
		return protocol{etherIPv6, protoSCTP}, true
	}
	return protocol{}, false
}

// protocolName is the short name for an Ethernet type and protocol, and
// whether the name covers the protocol too.
func protocolName(ether, proto int) (name string, both bool) {
	names := [...]string{"", ""}
	switch ether {
	case etherARP:
		return "arp", false
	case etherRARP:
		return "rarp", false
	case etherIPv4:
		names[0] = "ip"
	case etherIPv6:
		names[0] = "ipv6"
	default:
		return "", false
	}
	six := ""
	if ether == etherIPv6 {
		six = "6"
	}
	switch {
	case proto == protoTCP:
		names[1] = "tcp" + six
	case proto == protoUDP:
		names[1] = "udp" + six
	case proto == protoSCTP:
		names[1] = "sctp" + six
	case proto == protoICMP && six == "":
		names[1] = "icmp"
	case proto == protoICMP6 && six != "":
		names[1] = "icmp6"
	}
	if names[1] != "" {
		return names[1], true
	}
	return names[0], false
}

// matchParser reads a match; protocol-dependent keys wait until the whole
// text has been seen.
type matchParser struct {
	bridge string
	terms  match
}

// parseMatch reads a match in the syntax of ovs-fields(7), ports by name, into
// the space of terms. The bridge's own name stands for its LOCAL port.
func parseMatch(text, bridge string, terms match) (match, error) {
	p := matchParser{bridge: bridge, terms: terms[:0]}
	var late [8][2]string
	n := 0
	for rest := text; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, ",")
		part = strings.TrimSpace(part)
		key, val, hasValue := strings.Cut(part, "=")
		if part == "" {
			return nil, fmt.Errorf("empty part in match %q", text)
		}
		if dependsOnProtocol(key) {
			if n == len(late) {
				return nil, fmt.Errorf("too many parts in match %q", text)
			}
			late[n] = [2]string{key, val}
			n++
			continue
		}
		if err := p.part(key, val, hasValue); err != nil {
			return nil, fmt.Errorf("%q in match %q: %w", part, text, err)
		}
	}
	for _, kv := range late[:n] {
		f, err := protocolField(kv[0], p.terms.exact(fieldEther), p.terms.exact(fieldProto))
		if err == nil {
			err = p.field(f, kv[1])
		}
		if err != nil {
			return nil, fmt.Errorf("%q in match %q: %w", kv[0]+"="+kv[1], text, err)
		}
	}
	p.terms.sort()
	if err := p.terms.check(); err != nil {
		return nil, fmt.Errorf("match %q: %w", text, err)
	}
	return p.terms, nil
}

func dependsOnProtocol(key string) bool {
	switch key {
	case "tp_src", "tp_dst", nameICMP, "icmp_code":
		return true
	}
	return false
}

// protocolField is the field that a key means under a protocol.
func protocolField(key string, ether, proto int) (*field, error) {
	ip := ether == etherIPv4 || ether == etherIPv6
	name := ""
	switch {
	case key == nameICMP && ether == etherIPv4 && proto == protoICMP:
		name = "icmpv4_type"
	case key == "icmp_code" && ether == etherIPv4 && proto == protoICMP:
		name = "icmpv4_code"
	case key == nameICMP && ether == etherIPv6 && proto == protoICMP6:
		name = nameICMP6
	case key == "icmp_code" && ether == etherIPv6 && proto == protoICMP6:
		name = "icmpv6_code"
	case !ip || key[0] == 'i':
	case proto == protoTCP:
		name = "tcp" + key[2:]
	case proto == protoUDP:
		name = "udp" + key[2:]
	case proto == protoSCTP:
		name = "sctp" + key[2:]
	}
	if name == "" {
		return nil, errors.New("needs a protocol that has it")
	}
	return fieldByName[name], nil
}

func (p *matchParser) part(key, val string, hasValue bool) error {
	if !hasValue {
		proto, ok := protocolByName(key)
		if !ok {
			return errors.New("unknown protocol name")
		}
		if err := p.add(term{f: fieldEther, value: number(uint64(proto.ether)), mask: ones(16)}); err != nil {
			return err
		}
		if proto.proto < 0 {
			return nil
		}
		return p.add(term{f: fieldProto, value: number(uint64(proto.proto)), mask: ones(8)})
	}
	switch key {
	case "dl_vlan":
		n, err := parseNumber(val)
		if err != nil || n.lo > 4095 {
			return errors.New("bad VLAN")
		}
		return p.add(term{f: fieldVLAN, value: number(n.lo | vlanPresent), mask: ones(13)})
	case "vlan_tci":
		return p.tci(val)
	case nameInPort:
		ref, err := parsePort(val, p.bridge)
		if err != nil {
			return err
		}
		if ref.reserved() && ref.number != portLocal {
			return errors.New("not a port that packets come in by")
		}
		return p.add(term{f: fieldInPort, mask: ones(32), port: ref})
	}
	f, ok := fieldByName[key]
	if !ok {
		return errors.New("unknown field")
	}
	return p.field(f, val)
}

// tci takes vlan_tci with a mask inside the VLAN and its presence bit, or
// vlan_tci=0, no tag at all.
func (p *matchParser) tci(text string) error {
	val, maskText, masked := strings.Cut(text, "/")
	v, err := parseNumber(val)
	if err != nil {
		return err
	}
	mask := number(vlanBits)
	if masked {
		if mask, err = parseNumber(maskText); err != nil {
			return err
		}
	} else if v.lo != 0 {
		return errors.New("priority bits cannot be matched this way")
	}
	if mask.lo&^vlanBits != 0 && v.lo != 0 {
		return errors.New("priority bits cannot be matched this way")
	}
	return p.add(term{f: fieldVLAN, value: v, mask: mask.and(number(vlanBits))})
}

func (p *matchParser) field(f *field, text string) error {
	if f.form == formState {
		v, mask, err := parseState(text)
		if err != nil {
			return err
		}
		return p.add(term{f: f, value: v, mask: mask})
	}
	val, maskText, masked := strings.Cut(text, "/")
	v, err := parseValue(f.form, val)
	if err != nil {
		return err
	}
	if !v.fits(f.bits) {
		return fmt.Errorf("does not fit into %d bits", f.bits)
	}
	mask := ones(f.bits)
	if masked {
		if mask, err = parseMask(f.form, maskText, f.bits); err != nil {
			return err
		}
		if !mask.fits(f.bits) {
			return fmt.Errorf("mask does not fit into %d bits", f.bits)
		}
		if !f.masked && mask != ones(f.bits) && !mask.isZero() {
			return errors.New("this field takes no mask")
		}
	}
	return p.add(term{f: f, value: v, mask: mask})
}

func (p *matchParser) add(t term) error {
	if t.f.name == "vlan_tci" {
		return errors.New("unknown field")
	}
	t.value = t.value.and(t.mask)
	for _, o := range p.terms {
		if o.f == t.f {
			if o.value == t.value && o.mask == t.mask && o.port == t.port {
				return nil
			}
			return fmt.Errorf("%s is given twice", t.f.name)
		}
	}
	if !t.mask.isZero() {
		p.terms = append(p.terms, t)
	}
	return nil
}

func (m match) sort() {
	slices.SortFunc(m, func(a, b term) int {
		switch {
		case a.f == nil && b.f == nil:
			return slices.Compare(a.unknown, b.unknown)
		case a.f == nil:
			return 1
		case b.f == nil:
			return -1
		}
		return a.f.rank - b.f.rank
	})
}

// exact is the value of a field that is matched in full, or -1.
func (m match) exact(f *field) int {
	for i := range m {
		if m[i].f == f && m[i].mask == ones(f.bits) {
			return int(m[i].value.lo)
		}
	}
	return -1
}

func (m match) hasVLAN() bool {
	for i := range m {
		if m[i].f == fieldVLAN {
			return m[i].mask.lo&m[i].value.lo&vlanPresent != 0
		}
	}
	return false
}

// check refuses fields whose protocol is not matched: a switch would too, less clearly.
func (m match) check() error {
	ether, proto := m.exact(fieldEther), m.exact(fieldProto)
	for i := range m {
		if f := m[i].f; f != nil && !m.admits(f.need, ether, proto) {
			return fmt.Errorf("%s needs its protocol in the match", f.name)
		}
	}
	return nil
}

func (m match) admits(n need, ether, proto int) bool {
	ip := ether == etherIPv4 || ether == etherIPv6
	switch n {
	case needVLAN:
		return m.hasVLAN()
	case needARP:
		return ether == etherARP || ether == etherRARP
	case needIPv4:
		return ether == etherIPv4
	case needIPv6:
		return ether == etherIPv6
	case needIP:
		return ip
	case needTCP:
		return ip && proto == protoTCP
	case needUDP:
		return ip && proto == protoUDP
	case needSCTP:
		return ip && proto == protoSCTP
	case needICMP:
		return ether == etherIPv4 && proto == protoICMP
	case needICMP6, needND, needNS, needNA:
		if ether != etherIPv6 || proto != protoICMP6 {
			return false
		}
		t := m.exact(fieldICMP6)
		return n == needICMP6 || n != needNA && t == typeNS || n != needNS && t == typeNA
	}
	return true
}

// appendText writes the match in canonical form.
func (m match) appendText(dst []byte) []byte {
	start := len(dst)
	name, both := protocolName(m.exact(fieldEther), m.exact(fieldProto))
	dst = append(dst, name...)
	for i := range m {
		t := &m[i]
		if t.f == fieldEther && name != "" || t.f == fieldProto && both {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = t.appendText(dst)
	}
	return dst
}

func (t *term) appendText(dst []byte) []byte {
	switch {
	case t.f == nil:
		return fmt.Appendf(dst, "unknown=%x", t.unknown)
	case t.f == fieldInPort:
		return appendPort(append(dst, "in_port="...), t.port)
	case t.f == fieldVLAN:
		return t.appendVLAN(dst)
	case t.f.form == formState:
		return appendState(append(dst, "ct_state="...), t.value, t.mask)
	}
	dst = append(append(dst, t.f.name...), '=')
	if t.mask == ones(t.f.bits) {
		return appendValue(dst, t.f.form, t.value)
	}
	return appendMasked(dst, t.f.form, t.value, t.mask)
}

func (t *term) appendVLAN(dst []byte) []byte {
	if t.mask.lo == vlanBits && t.value.lo&vlanPresent != 0 {
		return strconv.AppendUint(append(dst, "dl_vlan="...), t.value.lo&^vlanPresent, 10)
	}
	return fmt.Appendf(dst, "vlan_tci=0x%04x/0x%04x", t.value.lo, t.mask.lo)
}

// appendWire writes the fields as OXM, without the frame of ofp_match, and
// notes where a port number belongs. Holes are offsets into dst.
func (m match) appendWire(dst []byte, holes []hole) ([]byte, []hole) {
	for i := range m {
		t := &m[i]
		if t.f == nil {
			dst = append(dst, t.unknown...)
			continue
		}
		masked := t.mask != ones(t.f.bits)
		dst = binary.BigEndian.AppendUint32(dst, header(t.f.matchHeader(), t.f.size, masked))
		if t.f == fieldInPort {
			if !t.port.reserved() {
				holes = append(holes, hole{port: t.port, at: len(dst), width: 4})
			}
			dst = binary.BigEndian.AppendUint32(dst, t.port.number)
			continue
		}
		dst = t.value.append(dst, t.f.size)
		if masked {
			dst = t.mask.append(dst, t.f.size)
		}
	}
	return dst, holes
}

var errShort = errors.New("message is too short")

// decodeMatch reads OXM fields into m, sorted. Unknown fields are kept as they are.
func decodeMatch(b []byte, m match) (match, error) {
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, errShort
		}
		h := binary.BigEndian.Uint32(b)
		size, masked := int(h&0xff), h&0x100 != 0
		if len(b) < 4+size {
			return nil, errShort
		}
		t, err := decodeTerm(fieldByID[h>>9], b[:4+size], masked)
		if err != nil {
			return nil, err
		}
		if t.f == nil || !t.mask.isZero() {
			m = append(m, t)
		}
		b = b[4+size:]
	}
	m.sort()
	return m, nil
}

func decodeTerm(f *field, b []byte, masked bool) (term, error) {
	if f == nil || f.name == "vlan_tci" {
		return term{unknown: b}, nil
	}
	body := b[4:]
	if masked && len(body) != 2*f.size || !masked && len(body) != f.size {
		return term{}, fmt.Errorf("field %s has %d bytes", f.name, len(body))
	}
	t := term{f: f, value: readValue(body[:f.size]), mask: ones(f.bits)}
	if masked {
		t.mask = readValue(body[f.size:]).and(ones(f.bits))
		t.value = t.value.and(t.mask)
	}
	if f == fieldInPort {
		if masked && t.mask != ones(f.bits) {
			return term{unknown: b}, nil
		}
		t.port, t.value = portRef{number: uint32(t.value.lo)}, value{}
	}
	return t, nil
}
