package feed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"neutrino"
	"neutrino/view"
)

// A restored store is behind the hosts: it lacks what was made since the backup,
// has what was deleted since, and has the rest as it was. Nobody asked for these
// differences one by one, so that a host works on as before in all of them, until
// the row is changed in the restored store or the operator says that it is meant.

// hold are the rows in which a host is not as its store says. A row has the value
// that it had before the store was restored, or nil where it was not there.
type hold struct {
	rows map[view.Key]json.RawMessage
	work *view.Host          // what the host works by
	told []neutrino.Pending  // what of the view is not as the store says
	wait map[view.Key]string // rows of the store that wait for kept ones, and why
}

// heldAt is what is held when a host comes from one life of its store into the
// next: everything in which they differ.
func heldAt(before, next holding) map[view.Key]json.RawMessage {
	rows := map[view.Key]json.RawMessage{}
	was := before.working()
	d := view.Diff(was, next.host)
	old := map[view.Key]json.RawMessage{}
	for _, r := range view.Rows(was) {
		old[r.Key()] = r.Value
	}
	for _, r := range d.Puts {
		rows[r.Key()] = old[r.Key()]
	}
	for _, k := range d.Drops {
		rows[k] = old[k]
	}
	return rows
}

// after is what of it is still held when the store's view has become another one:
// what the store has changed since is as the store says. A group's addresses are
// those of before with those that came, so that they stay.
func (h hold) after(before, next map[view.Key]json.RawMessage) map[view.Key]json.RawMessage {
	rows := map[view.Key]json.RawMessage{}
	for k, was := range h.rows {
		if k.Kind == view.KindMembers || bytes.Equal(before[k], next[k]) {
			rows[k] = was
		}
	}
	return rows
}

// keeping works out what the host works by when the rows are held.
func (h holding) keeping(rows map[view.Key]json.RawMessage) (hold, error) {
	if len(rows) == 0 {
		return hold{}, nil
	}
	out := hold{rows: rows, wait: map[view.Key]string{}}
	var kept []view.Row
	var left []view.Key
	for k, was := range rows {
		if was == nil {
			left = append(left, k)
		} else {
			kept = append(kept, view.Row{Kind: k.Kind, ID: k.ID, Value: was})
		}
	}
	work, err := view.Over(h.host, kept, left)
	if err != nil {
		return hold{}, fmt.Errorf("hold what was before the store was restored: %w", err)
	}
	// Two objects with one VLAN or address would be one network or one station.
	left = nil
	for _, c := range view.Clashes(work, func(k view.Key) bool { return rows[k] != nil }) {
		out.wait[c.Key] = fmt.Sprintf("%s is that of %s %s, which was there before the store was restored", c.What, c.Kept.Kind, c.Kept.ID)
		left = append(left, c.Key)
	}
	if out.work, err = view.Over(work, nil, left); err != nil {
		return hold{}, err
	}
	out.told = out.tell(h)
	return out, nil
}

// working is what the host works by.
func (h holding) working() *view.Host {
	if h.hold.work != nil {
		return h.hold.work
	}
	return h.host
}

// view is the holding as it is handed over.
func (h holding) view() View {
	return View{Host: h.working(), Revision: h.acted, Life: h.name.Life, Held: h.hold.told, of: h}
}

// position is the place in the history of stores that the holding comes from.
func (h holding) position() neutrino.StorePosition {
	return neutrino.StorePosition{StoreIdentity: h.name, Revision: h.revision}
}

// remedy is what the operator does about what is held.
const remedy = "neutrino agent accept on the host lists all and takes the store's word"

// tell says what of the view is not as the store says. What is kept is in use and
// so holds nothing back; what the store has and the host has not, waits.
func (h hold) tell(of holding) []neutrino.Pending {
	var list []neutrino.Pending
	kept, changed, left := 0, 0, 0
	add := func(k view.Key, kind neutrino.PendingKind, reason string) {
		if k.Kind == view.KindPort || k.Kind == view.KindNetwork || k.Kind == view.KindRouter || k.Kind == view.KindFloatingIP {
			list = append(list, neutrino.Pending{Object: k.Kind + "/" + k.ID, Kind: kind, Reason: reason})
		}
	}
	for k, was := range h.rows {
		_, stored := of.rows[k]
		switch {
		case was == nil:
			left++
			add(k, neutrino.Waiting, "left out: it is in the restored store and was not on this host before; "+remedy)
		case stored:
			changed++
			add(k, neutrino.Noticed, "kept as it was before the store was restored, which has it otherwise; "+remedy)
		default:
			kept++
			add(k, neutrino.Noticed, "kept: it is not in the restored store; "+remedy)
		}
	}
	for k, why := range h.wait {
		add(k, neutrino.Waiting, why+"; "+remedy)
	}
	slices.SortFunc(list, func(a, b neutrino.Pending) int { return bytes.Compare([]byte(a.Object), []byte(b.Object)) })
	return append([]neutrino.Pending{{Object: neutrino.HostObject, Kind: neutrino.Noticed, Reason: fmt.Sprintf(
		"the store was restored from a copy of before (life %s): %d rows of this host are not in it, %d are otherwise, %d were not on this host, and all stay as they were; %s",
		of.name.Life, kept, changed, left, remedy)}}, list...)
}

// list is what is held as it is stored.
func (h hold) list() []storedRow {
	var out []storedRow
	for k, was := range h.rows {
		out = append(out, storedRow{Kind: k.Kind, ID: k.ID, Value: was})
	}
	slices.SortFunc(out, func(a, b storedRow) int { return bytes.Compare([]byte(a.Kind+a.ID), []byte(b.Kind+b.ID)) })
	return out
}

// storedHold is what list was made of. A row that was not there is null in JSON.
func storedHold(list []storedRow) map[view.Key]json.RawMessage {
	rows := map[view.Key]json.RawMessage{}
	for _, r := range list {
		k := view.Key{Kind: r.Kind, ID: r.ID}
		if rows[k] = r.Value; string(r.Value) == "null" {
			rows[k] = nil
		}
	}
	return rows
}
