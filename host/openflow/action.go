package openflow

import (
	"fmt"
	"strconv"
)

type op uint8

const (
	opOutput op = iota
	opSet
	opMove
	opPushVLAN
	opPopVLAN
	opResubmit
	opGoto
	opCT
	opCTClear
	opNote
	opConjunction
	opDecTTL
	opUnknown
)

// subfield is a range of bits of a field.
type subfield struct {
	f         *field
	ofs, bits int
}

func whole(f *field) subfield { return subfield{f: f, bits: f.bits} }

func (s subfield) isWhole() bool { return s.f != nil && s.ofs == 0 && s.bits == s.f.bits }

// action is one action, or the goto_table instruction, which comes last.
type action struct {
	op       op
	port     portRef // output, resubmit
	table    uint8   // resubmit, goto
	dst, src subfield
	value    value // set; conjunction: id
	clause   [2]uint8
	ct       *connection
	raw      []byte // note, unknown
	what     string // unknown: "action" or "instruction"
}

// noTable is resubmit's and ct's "stay where you are".
const noTable = 0xff

// connection is the argument of ct().
type connection struct {
	commit, force bool
	table         uint8
	zone          uint16
	zoneFrom      subfield // zone from a field, where f is not nil
	alg           uint16
	exec          []action
	unknown       []byte
}

const (
	algFTP  = 21
	algTFTP = 69
)

// appendActions writes actions in canonical form. hasVLAN says whether the
// match lets only tagged packets through: the tag that mod_vlan_vid pushes
// when there is none is not written.
func appendActions(dst []byte, actions []action, hasVLAN bool) []byte {
	if len(actions) == 0 {
		return append(dst, "drop"...)
	}
	start := len(dst)
	for i := 0; i < len(actions); i++ {
		a := &actions[i]
		if len(dst) > start {
			dst = append(dst, ',')
		}
		switch a.op {
		case opPushVLAN:
			if !hasVLAN && i+1 < len(actions) && actions[i+1].setsVLAN() {
				i++
				a = &actions[i]
			}
			hasVLAN = true
		case opPopVLAN:
			hasVLAN = false
		}
		dst = a.appendText(dst)
	}
	return dst
}

// setsVLAN reports whether a is what mod_vlan_vid becomes.
func (a *action) setsVLAN() bool {
	return a.op == opSet && a.dst.f == fieldVLAN && a.dst.isWhole() && a.value.lo&vlanPresent != 0
}

func (a *action) appendText(dst []byte) []byte {
	switch a.op {
	case opOutput:
		if a.port.reserved() && a.port.number != portController {
			return appendPort(dst, a.port)
		}
		return appendPort(append(dst, "output:"...), a.port)
	case opSet:
		return a.appendSet(dst)
	case opMove:
		dst = a.src.appendText(append(dst, "move:"...))
		return a.dst.appendText(append(dst, "->"...))
	case opPushVLAN:
		return append(dst, "push_vlan:0x8100"...)
	case opPopVLAN:
		return append(dst, "strip_vlan"...)
	case opResubmit:
		return a.appendResubmit(dst)
	case opGoto:
		return strconv.AppendUint(append(dst, "goto_table:"...), uint64(a.table), 10)
	case opCT:
		return a.ct.appendText(dst)
	case opCTClear:
		return append(dst, "ct_clear"...)
	case opNote:
		dst = append(dst, "note:"...)
		for i, c := range a.raw {
			if i > 0 {
				dst = append(dst, '.')
			}
			dst = fmt.Appendf(dst, "%02x", c)
		}
		return dst
	case opConjunction:
		return fmt.Appendf(dst, "conjunction(%d,%d/%d)", a.value.lo, a.clause[0], a.clause[1])
	case opDecTTL:
		return append(dst, "dec_ttl"...)
	}
	return fmt.Appendf(dst, "unknown_%s(%x)", a.what, a.raw)
}

func (a *action) appendSet(dst []byte) []byte {
	f := a.dst.f
	switch {
	case !a.dst.isWhole():
		dst = appendHex(append(dst, "load:"...), a.value)
		return a.dst.appendText(append(dst, "->"...))
	case f == fieldTunnel:
		return appendHex(append(dst, "set_tunnel:"...), a.value)
	case a.setsVLAN():
		return strconv.AppendUint(append(dst, "mod_vlan_vid:"...), a.value.lo&^vlanPresent, 10)
	}
	dst = append(dst, "set_field:"...)
	if f.form == formState || f.form == formVLAN {
		dst = appendHex(dst, a.value)
	} else {
		dst = appendValue(dst, f.form, a.value)
	}
	return append(append(dst, "->"...), f.setName()...)
}

func (a *action) appendResubmit(dst []byte) []byte {
	dst = append(dst, "resubmit("...)
	if a.port.name != "" || a.port.number != portInPort {
		dst = appendPort(dst, a.port)
	}
	dst = append(dst, ',')
	if a.table != noTable {
		dst = strconv.AppendUint(dst, uint64(a.table), 10)
	}
	return append(dst, ')')
}

func (s subfield) appendText(dst []byte) []byte {
	dst = append(append(dst, s.f.extensionName()...), '[')
	switch {
	case s.isWhole():
	case s.bits == 1:
		dst = strconv.AppendInt(dst, int64(s.ofs), 10)
	default:
		dst = fmt.Appendf(dst, "%d..%d", s.ofs, s.ofs+s.bits-1)
	}
	return append(dst, ']')
}

func (c *connection) appendText(dst []byte) []byte {
	dst = append(dst, "ct("...)
	start := len(dst)
	sep := func(text string) {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, text...)
	}
	if c.commit {
		sep("commit")
	}
	if c.force {
		sep("force")
	}
	if c.table != noTable {
		sep("table=")
		dst = strconv.AppendUint(dst, uint64(c.table), 10)
	}
	if c.zoneFrom.f != nil {
		sep("zone=")
		dst = c.zoneFrom.appendText(dst)
	} else if c.zone != 0 {
		sep("zone=")
		dst = strconv.AppendUint(dst, uint64(c.zone), 10)
	}
	if len(c.exec) > 0 {
		sep("exec(")
		dst = append(appendActions(dst, c.exec, false), ')')
	}
	switch c.alg {
	case 0:
	case algFTP:
		sep("alg=ftp")
	case algTFTP:
		sep("alg=tftp")
	default:
		sep(fmt.Sprintf("alg=%d", c.alg))
	}
	if len(c.unknown) > 0 {
		sep(fmt.Sprintf("unknown=%x", c.unknown))
	}
	return append(dst, ')')
}
