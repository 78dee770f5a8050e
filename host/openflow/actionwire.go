package openflow

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Standard actions of OpenFlow 1.4, and the Nicira ones by subtype.
const (
	actOutput   = 0
	actPushVLAN = 17
	actPopVLAN  = 18
	actDecTTL   = 24
	actSetField = 25
	actVendor   = 0xffff

	nicira = 0x2320

	nxResubmit      = 1
	nxSetTunnel     = 2
	nxMove          = 6
	nxLoad          = 7
	nxNote          = 8
	nxSetTunnel64   = 9
	nxResubmitTable = 14
	nxDecTTL        = 18
	nxLoad2         = 33
	nxConjunction   = 34
	nxCT            = 35
	nxCTClear       = 43

	instrGoto    = 1
	instrActions = 4

	ctCommit = 1
	ctForce  = 2

	maxNote = 1024
)

// padNote fills a note up to the bytes that a switch gives back.
func padNote(raw []byte) []byte {
	for len(raw) < 6 || (len(raw)-6)%8 != 0 {
		raw = append(raw, 0)
	}
	return raw
}

// appendInstructions writes the actions as instructions.
func appendInstructions(dst []byte, actions []action, holes []hole) ([]byte, []hole) {
	n := len(actions)
	next := -1
	if n > 0 && actions[n-1].op == opGoto {
		n--
		next = int(actions[n].table)
	}
	if n > 0 {
		at := len(dst)
		dst = append(dst, 0, instrActions, 0, 0, 0, 0, 0, 0)
		for i := range actions[:n] {
			dst, holes = actions[i].appendWire(dst, holes)
		}
		binary.BigEndian.PutUint16(dst[at+2:], uint16(len(dst)-at))
	}
	if next >= 0 {
		dst = append(dst, 0, instrGoto, 0, 8, byte(next), 0, 0, 0)
	}
	return dst, holes
}

func vendor(dst []byte, size int, subtype uint16) []byte {
	dst = binary.BigEndian.AppendUint16(dst, actVendor)
	dst = binary.BigEndian.AppendUint16(dst, uint16(size))
	dst = binary.BigEndian.AppendUint32(dst, nicira)
	return binary.BigEndian.AppendUint16(dst, subtype)
}

func (a *action) appendWire(dst []byte, holes []hole) ([]byte, []hole) {
	be := binary.BigEndian
	switch a.op {
	case opOutput:
		dst = append(dst, 0, actOutput, 0, 16)
		if !a.port.reserved() {
			holes = append(holes, hole{port: a.port, at: len(dst), width: 4})
		}
		dst = be.AppendUint32(dst, a.port.number)
		dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	case opSet:
		dst = a.appendSetWire(dst)
	case opMove:
		dst = vendor(dst, 24, nxMove)
		dst = be.AppendUint16(dst, uint16(a.src.bits))
		dst = be.AppendUint16(dst, uint16(a.src.ofs))
		dst = be.AppendUint16(dst, uint16(a.dst.ofs))
		dst = be.AppendUint32(dst, header(a.src.f.extensionHeader(), a.src.f.size, false))
		dst = be.AppendUint32(dst, header(a.dst.f.extensionHeader(), a.dst.f.size, false))
	case opPushVLAN:
		dst = append(dst, 0, actPushVLAN, 0, 8, 0x81, 0, 0, 0)
	case opPopVLAN:
		dst = append(dst, 0, actPopVLAN, 0, 8, 0, 0, 0, 0)
	case opDecTTL:
		dst = append(dst, 0, actDecTTL, 0, 8, 0, 0, 0, 0)
	case opResubmit:
		dst = vendor(dst, 16, nxResubmitTable)
		if !a.port.reserved() {
			holes = append(holes, hole{port: a.port, at: len(dst), width: 2})
		}
		dst = be.AppendUint16(dst, narrow(a.port.number))
		dst = append(dst, a.table, 0, 0, 0)
	case opCT:
		dst = a.ct.appendWire(dst)
	case opCTClear:
		dst = append(vendor(dst, 16, nxCTClear), 0, 0, 0, 0, 0, 0)
	case opNote:
		dst = append(vendor(dst, 10+len(a.raw), nxNote), a.raw...)
	case opConjunction:
		dst = append(vendor(dst, 16, nxConjunction), a.clause[0]-1, a.clause[1])
		dst = be.AppendUint32(dst, uint32(a.value.lo))
	}
	return dst, holes
}

func (a *action) appendSetWire(dst []byte) []byte {
	be := binary.BigEndian
	f := a.dst.f
	if !a.dst.isWhole() {
		dst = vendor(dst, 24, nxLoad)
		dst = be.AppendUint16(dst, uint16(a.dst.ofs<<6|(a.dst.bits-1)))
		dst = be.AppendUint32(dst, header(f.extensionHeader(), f.size, false))
		return be.AppendUint64(dst, a.value.lo)
	}
	at := len(dst)
	dst = append(dst, 0, actSetField, 0, 0)
	dst = be.AppendUint32(dst, header(f.matchHeader(), f.size, false))
	dst = a.value.append(dst, f.size)
	for len(dst)%8 != at%8 {
		dst = append(dst, 0)
	}
	be.PutUint16(dst[at+2:], uint16(len(dst)-at))
	return dst
}

func (c *connection) appendWire(dst []byte) []byte {
	be := binary.BigEndian
	at := len(dst)
	dst = vendor(dst, 0, nxCT)
	var flags uint16
	if c.commit {
		flags |= ctCommit
	}
	if c.force {
		flags |= ctForce
	}
	dst = be.AppendUint16(dst, flags)
	if f := c.zoneFrom.f; f != nil {
		dst = be.AppendUint32(dst, header(f.extensionHeader(), f.size, false))
		dst = be.AppendUint16(dst, uint16(c.zoneFrom.ofs<<6|(c.zoneFrom.bits-1)))
	} else {
		dst = be.AppendUint32(dst, 0)
		dst = be.AppendUint16(dst, c.zone)
	}
	dst = append(dst, c.table, 0, 0, 0)
	dst = be.AppendUint16(dst, c.alg)
	for i := range c.exec {
		dst, _ = c.exec[i].appendWire(dst, nil)
	}
	be.PutUint16(dst[at+2:], uint16(len(dst)-at))
	return dst
}

// decodeInstructions appends what b holds to actions. What is not known is
// kept as it came, so that it differs from everything that a plan can say.
func decodeInstructions(b []byte, actions []action) ([]action, error) {
	next := -1
	for len(b) > 0 {
		if len(b) < 8 {
			return nil, errShort
		}
		kind, size := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if size < 8 || size%8 != 0 || size > len(b) {
			return nil, errShort
		}
		switch kind {
		case instrGoto:
			next = int(b[4])
		case instrActions:
			var err error
			if actions, err = decodeActions(b[8:size], actions); err != nil {
				return nil, err
			}
		default:
			actions = append(actions, action{op: opUnknown, what: "instruction", raw: b[:size]})
		}
		b = b[size:]
	}
	if next >= 0 {
		actions = append(actions, action{op: opGoto, table: uint8(next)})
	}
	return actions, nil
}

func decodeActions(b []byte, actions []action) ([]action, error) {
	for len(b) > 0 {
		if len(b) < 8 {
			return nil, errShort
		}
		kind, size := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if size < 8 || size%8 != 0 || size > len(b) {
			return nil, errShort
		}
		one := b[:size]
		a := action{op: opUnknown, what: "action", raw: one}
		switch {
		case kind == actOutput && size == 16:
			a = action{op: opOutput, port: portRef{number: binary.BigEndian.Uint32(one[4:])}}
		case kind == actPushVLAN && one[4] == 0x81 && one[5] == 0:
			a = action{op: opPushVLAN}
		case kind == actPopVLAN:
			a = action{op: opPopVLAN}
		case kind == actDecTTL:
			a = action{op: opDecTTL}
		case kind == actSetField, kind == actVendor && len(one) >= 16 && binary.BigEndian.Uint32(one[4:]) == nicira:
			var err error
			if actions, err = decodeLong(one, actions); err != nil {
				return nil, err
			}
			b = b[size:]
			continue
		}
		actions = append(actions, a)
		b = b[size:]
	}
	return actions, nil
}

// decodeLong reads set_field and the Nicira actions, of 16 bytes or more.
func decodeLong(b []byte, actions []action) ([]action, error) {
	if binary.BigEndian.Uint16(b) == actSetField {
		return decodeSetField(b, b[4:], actions)
	}
	if sub := binary.BigEndian.Uint16(b[8:]); sub == nxLoad2 {
		return decodeSetField(b, b[16:], actions)
	}
	a, err := decodeNicira(b)
	if err != nil {
		return nil, err
	}
	if a.op == opUnknown {
		a.what, a.raw = "action", b
	}
	return append(actions, a), nil
}

// decodeSetField reads an OXM field, with or without a mask, as what is set.
func decodeSetField(whole, b []byte, actions []action) ([]action, error) {
	if len(b) < 4 {
		return nil, errShort
	}
	h := binary.BigEndian.Uint32(b)
	size := int(h & 0xff)
	if len(b) < 4+size {
		return nil, errShort
	}
	t, err := decodeTerm(fieldByID[h>>9], b[:4+size], h&0x100 != 0)
	if err != nil {
		return nil, err
	}
	if t.f == nil || t.f == fieldInPort {
		return append(actions, action{op: opUnknown, what: "action", raw: whole}), nil
	}
	return append(actions, maskedSets(t.f, t.value, t.mask)...), nil
}

func decodeNicira(b []byte) (action, error) {
	be := binary.BigEndian
	unknown := action{op: opUnknown}
	body := b[10:]
	switch sub := be.Uint16(b[8:]); {
	case sub == nxResubmit:
		return action{op: opResubmit, port: portRef{number: widen(be.Uint16(body))}, table: noTable}, nil
	case sub == nxResubmitTable:
		return action{op: opResubmit, port: portRef{number: widen(be.Uint16(body))}, table: body[2]}, nil
	case sub == nxSetTunnel:
		return action{op: opSet, dst: whole(fieldTunnel), value: number(uint64(be.Uint32(body[2:])))}, nil
	case sub == nxSetTunnel64 && len(body) >= 14:
		return action{op: opSet, dst: whole(fieldTunnel), value: readValue(body[6:14])}, nil
	case sub == nxMove && len(body) >= 14:
		bits := int(be.Uint16(body))
		src, ok1 := decodeSubfield(be.Uint32(body[6:]), int(be.Uint16(body[2:])), bits)
		dst, ok2 := decodeSubfield(be.Uint32(body[10:]), int(be.Uint16(body[4:])), bits)
		if !ok1 || !ok2 {
			return unknown, nil
		}
		return action{op: opMove, src: src, dst: dst}, nil
	case sub == nxLoad && len(body) >= 14:
		n := be.Uint16(body)
		dst, ok := decodeSubfield(be.Uint32(body[2:]), int(n>>6), int(n&63)+1)
		if !ok {
			return unknown, nil
		}
		return action{op: opSet, dst: dst, value: readValue(body[6:14]).and(ones(dst.bits))}, nil
	case sub == nxNote:
		return action{op: opNote, raw: body}, nil
	case sub == nxDecTTL:
		return action{op: opDecTTL}, nil
	case sub == nxConjunction:
		return action{op: opConjunction, value: number(uint64(be.Uint32(body[2:]))), clause: [2]uint8{body[0] + 1, body[1]}}, nil
	case sub == nxCT && len(body) >= 14:
		return decodeCT(body)
	case sub == nxCTClear:
		return action{op: opCTClear}, nil
	}
	return unknown, nil
}

func decodeSubfield(h uint32, ofs, bits int) (subfield, bool) {
	f := fieldByID[h>>9]
	if f == nil || f == fieldInPort || bits < 1 || ofs+bits > f.bits || h&0x100 != 0 {
		return subfield{}, false
	}
	return subfield{f: f, ofs: ofs, bits: bits}, true
}

func decodeCT(b []byte) (action, error) {
	be := binary.BigEndian
	flags := be.Uint16(b)
	c := &connection{commit: flags&ctCommit != 0, force: flags&ctForce != 0, table: b[8], alg: be.Uint16(b[12:])}
	if flags&^(ctCommit|ctForce) != 0 {
		return action{op: opUnknown}, nil
	}
	if h := be.Uint32(b[2:]); h != 0 {
		n := be.Uint16(b[6:])
		var ok bool
		if c.zoneFrom, ok = decodeSubfield(h, int(n>>6), int(n&63)+1); !ok {
			return action{op: opUnknown}, nil
		}
	} else {
		c.zone = be.Uint16(b[6:])
	}
	exec, err := decodeActions(b[14:], nil)
	if err != nil {
		return action{}, fmt.Errorf("in ct: %w", err)
	}
	for i := range exec {
		if exec[i].op != opSet && exec[i].op != opMove {
			c.unknown = b[14:]
			return action{op: opCT, ct: c}, nil
		}
	}
	c.exec = exec
	return action{op: opCT, ct: c}, nil
}

var errTooLong = errors.New("flow is longer than an OpenFlow message")
