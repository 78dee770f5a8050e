package openflow

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// actionParser reads actions; hasVLAN follows the tag through the list, as the
// switch does.
type actionParser struct {
	bridge  string
	hasVLAN bool
	nested  bool // inside exec()
	actions []action
}

// parse reads actions in the syntax of ovs-actions(7), ports by name.
// mod_vlan_vid pushes a tag unless the match or an earlier action says that
// there is one, as ovs-ofctl does: a packet whose tag nobody has looked at gets
// a second one.
func (p *actionParser) parse(text string) ([]action, error) {
	if t := strings.TrimSpace(text); t == "drop" || t == "" {
		return nil, nil
	}
	if err := p.list(text); err != nil {
		return nil, err
	}
	return p.actions, nil
}

func (p *actionParser) list(text string) error {
	for rest := text; rest != ""; {
		part, after, err := cutTop(rest)
		if err == nil {
			rest = after
			part = strings.TrimSpace(part)
			if n := len(p.actions); n > 0 && p.actions[n-1].op == opGoto {
				err = errors.New("goto_table must come last")
			} else {
				err = p.one(part)
			}
		}
		if err != nil {
			return fmt.Errorf("%q in actions %q: %w", part, text, err)
		}
	}
	return nil
}

// cutTop cuts at the first comma outside parentheses.
func cutTop(text string) (part, rest string, err error) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth < 0 {
				return text, "", errors.New("unbalanced parentheses")
			}
		case ',':
			if depth == 0 {
				return text[:i], text[i+1:], nil
			}
		}
	}
	if depth != 0 {
		return text, "", errors.New("unbalanced parentheses")
	}
	return text, "", nil
}

func (p *actionParser) add(a action) error {
	switch {
	case p.nested && a.op != opSet && a.op != opMove:
		return errors.New("not allowed in exec()")
	case a.op == opPushVLAN:
		p.hasVLAN = true
	case a.op == opPopVLAN:
		p.hasVLAN = false
	}
	p.actions = append(p.actions, a)
	return nil
}

func (p *actionParser) one(text string) error {
	if name, args, ok := splitCall(text); ok {
		return p.call(name, args)
	}
	name, arg, hasArg := strings.Cut(text, ":")
	if hasArg {
		return p.withArgument(name, arg)
	}
	switch name {
	case "strip_vlan", "pop_vlan":
		return p.add(action{op: opPopVLAN})
	case "ct_clear":
		return p.add(action{op: opCTClear})
	case "dec_ttl":
		return p.add(action{op: opDecTTL})
	case "ct":
		return p.call("ct", "")
	}
	port, err := parsePort(name, "")
	if err != nil || !port.reserved() {
		return errors.New("unknown action")
	}
	return p.add(action{op: opOutput, port: port})
}

// splitCall takes "name(args)" apart.
func splitCall(text string) (name, args string, ok bool) {
	open := strings.IndexByte(text, '(')
	if open < 0 || text[len(text)-1] != ')' || strings.ContainsAny(text[:open], ":=") {
		return "", "", false
	}
	return text[:open], text[open+1 : len(text)-1], true
}

func (p *actionParser) call(name, args string) error {
	switch name {
	case "resubmit":
		portText, tableText, _ := strings.Cut(args, ",")
		a := action{op: opResubmit, port: portRef{number: portInPort}, table: noTable}
		var err error
		if portText != "" {
			if a.port, err = parsePort(portText, p.bridge); err != nil {
				return err
			}
		}
		if tableText != "" {
			if a.table, err = parseTable(tableText); err != nil {
				return err
			}
		}
		if portText == "" && tableText == "" {
			return errors.New("resubmit to nowhere")
		}
		return p.add(a)
	case "ct":
		c, err := p.connection(args)
		if err != nil {
			return err
		}
		return p.add(action{op: opCT, ct: c})
	case "conjunction":
		return p.conjunction(args)
	}
	return errors.New("unknown action")
}

func (p *actionParser) conjunction(args string) error {
	idText, rest, _ := strings.Cut(args, ",")
	k, n, _ := strings.Cut(rest, "/")
	conj, err1 := strconv.ParseUint(strings.TrimSpace(idText), 0, 32)
	clause, err2 := strconv.ParseUint(strings.TrimSpace(k), 10, 8)
	clauses, err3 := strconv.ParseUint(strings.TrimSpace(n), 10, 8)
	if err := errors.Join(err1, err2, err3); err != nil || clause < 1 || clause > clauses || clauses < 2 || clauses > 64 {
		return errors.New("not a conjunction of the form id,k/n")
	}
	return p.add(action{op: opConjunction, value: number(conj), clause: [2]uint8{uint8(clause), uint8(clauses)}})
}

func parseTable(text string) (uint8, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 8)
	if err != nil || n == noTable {
		return 0, fmt.Errorf("bad table %q", text)
	}
	return uint8(n), nil
}

func (p *actionParser) withArgument(name, arg string) error {
	switch name {
	case "output":
		port, err := parsePort(arg, p.bridge)
		if err != nil {
			return err
		}
		return p.add(action{op: opOutput, port: port})
	case "resubmit":
		return p.call("resubmit", arg)
	case "goto_table":
		table, err := parseTable(arg)
		if err != nil {
			return err
		}
		return p.add(action{op: opGoto, table: table})
	case "mod_vlan_vid", "set_vlan_vid":
		return p.modVLAN(arg)
	case "push_vlan":
		if arg != "0x8100" {
			return errors.New("only 802.1Q tags are pushed")
		}
		return p.add(action{op: opPushVLAN})
	case "set_tunnel", "set_tunnel64":
		return p.setField(fieldTunnel, arg)
	case "mod_dl_src":
		return p.setField(fieldByName["dl_src"], arg)
	case "mod_dl_dst":
		return p.setField(fieldByName["dl_dst"], arg)
	case "set_field":
		val, target, ok := strings.Cut(arg, "->")
		f := fieldByName[target]
		if !ok || f == nil {
			return errors.New("unknown field")
		}
		return p.setField(f, val)
	case "load":
		return p.load(arg)
	case "move":
		return p.move(arg)
	case "note":
		raw, err := hex.DecodeString(strings.ReplaceAll(arg, ".", ""))
		if err != nil || len(raw) > maxNote {
			return errors.New("a note is hex bytes with dots between")
		}
		return p.add(action{op: opNote, raw: padNote(raw)})
	}
	return errors.New("unknown action")
}

func (p *actionParser) modVLAN(arg string) error {
	n, err := parseNumber(arg)
	if err != nil || n.lo > 4095 {
		return errors.New("bad VLAN")
	}
	if !p.hasVLAN {
		if err := p.add(action{op: opPushVLAN}); err != nil {
			return err
		}
	}
	return p.add(action{op: opSet, dst: whole(fieldVLAN), value: number(n.lo | vlanPresent)})
}

// setField sets a whole field, or with a mask the runs of bits that the mask
// covers, from the lowest.
func (p *actionParser) setField(f *field, text string) error {
	if f == fieldInPort || f == fieldEther || f == fieldProto {
		return errors.New("this field cannot be set")
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
	}
	sets := maskedSets(f, v, mask)
	if sets == nil {
		return errors.New("no bits are set")
	}
	for _, a := range sets {
		if a.dst.bits > 64 && !a.dst.isWhole() {
			return errors.New("more than 64 bits but not the whole field")
		}
		if err := p.add(a); err != nil {
			return err
		}
	}
	return nil
}

// maskedSets splits a set under a mask into runs of bits, as the switch does.
func maskedSets(f *field, v, mask value) []action {
	if mask == ones(f.bits) {
		return []action{{op: opSet, dst: whole(f), value: v}}
	}
	var sets []action
	for ofs := 0; ofs < f.bits; {
		left := mask.shiftRight(ofs)
		if left.isZero() {
			break
		}
		ofs += left.trailingZeros()
		run := min(mask.shiftRight(ofs).not().trailingZeros(), f.bits-ofs)
		sets = append(sets, action{op: opSet, dst: subfield{f, ofs, run}, value: v.shiftRight(ofs).and(ones(run))})
		ofs += run
	}
	return sets
}

func (p *actionParser) load(arg string) error {
	val, target, ok := strings.Cut(arg, "->")
	dst, err := parseSubfield(target)
	if err != nil || !ok {
		return errors.New("load has the form value->field[from..to]")
	}
	v, err := parseValue(formHex, val)
	if err != nil {
		return err
	}
	if !v.fits(dst.bits) || dst.bits > 64 {
		return fmt.Errorf("does not fit into %d bits", min(dst.bits, 64))
	}
	return p.add(action{op: opSet, dst: dst, value: v})
}

func (p *actionParser) move(arg string) error {
	from, to, ok := strings.Cut(arg, "->")
	src, err1 := parseSubfield(from)
	dst, err2 := parseSubfield(to)
	if err := errors.Join(err1, err2); err != nil || !ok {
		return errors.Join(errors.New("move has the form field[from..to]->field[from..to]"), err)
	}
	if src.bits != dst.bits {
		return errors.New("source and destination differ in width")
	}
	return p.add(action{op: opMove, src: src, dst: dst})
}

// parseSubfield reads NAME[], NAME[n] or NAME[from..to].
func parseSubfield(text string) (subfield, error) {
	name, rest, ok := strings.Cut(text, "[")
	f := fieldByName[name]
	if !ok || f == nil || f == fieldInPort || !strings.HasSuffix(rest, "]") {
		return subfield{}, fmt.Errorf("bad field %q", text)
	}
	rest = rest[:len(rest)-1]
	if rest == "" {
		return whole(f), nil
	}
	from, to, isRange := strings.Cut(rest, "..")
	if !isRange {
		to = from
	}
	a, err1 := strconv.ParseUint(from, 10, 8)
	b, err2 := strconv.ParseUint(to, 10, 8)
	if errors.Join(err1, err2) != nil || a > b || int(b) >= f.bits {
		return subfield{}, fmt.Errorf("bad bits %q", text)
	}
	return subfield{f: f, ofs: int(a), bits: int(b-a) + 1}, nil
}

func (p *actionParser) connection(args string) (*connection, error) {
	c := &connection{table: noTable}
	for rest := args; rest != ""; {
		part, after, err := cutTop(rest)
		if err != nil {
			return nil, err
		}
		rest = after
		if err := p.connectionPart(c, strings.TrimSpace(part)); err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
	}
	if c.force && !c.commit {
		return nil, errors.New("force needs commit")
	}
	if len(c.exec) > 0 && !c.commit {
		return nil, errors.New("exec needs commit")
	}
	return c, nil
}

func (p *actionParser) connectionPart(c *connection, part string) error {
	if args, ok := strings.CutPrefix(part, "exec("); ok && strings.HasSuffix(args, ")") {
		inner := actionParser{bridge: p.bridge, nested: true}
		err := inner.list(args[:len(args)-1])
		c.exec = append(c.exec, inner.actions...)
		return err
	}
	key, val, _ := strings.Cut(part, "=")
	var err error
	switch key {
	case "commit":
		c.commit = true
	case "force":
		c.force = true
	case "table":
		c.table, err = parseTable(val)
	case "zone":
		if n, bad := strconv.ParseUint(val, 0, 16); bad == nil {
			c.zone, c.zoneFrom = uint16(n), subfield{}
			return nil
		}
		c.zone = 0
		if c.zoneFrom, err = parseSubfield(val); err == nil && c.zoneFrom.bits != 16 {
			err = errors.New("a zone has 16 bits")
		}
	case "alg":
		switch val {
		case "ftp":
			c.alg = algFTP
		case "tftp":
			c.alg = algTFTP
		default:
			err = errors.New("unknown helper")
		}
	default:
		err = errors.New("unknown part of ct")
	}
	return err
}
