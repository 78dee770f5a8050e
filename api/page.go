package api

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"neutrino/api/admission"
	"neutrino/api/top"
	"neutrino/api/wire"
)

// page is the rows that a list request asks for, in order.
func (k *kind[T]) page(v view, q *query[T]) ([]*T, error) {
	if len(q.order) == 1 && q.order[0].attr.Name == "id" && !q.order[0].desc {
		q.order = nil // which is the order of a page anyway
	}
	var marker *T
	if q.marker != "" {
		var err error
		if marker, err = k.find(v, q.marker); err != nil {
			return nil, err
		}
	}
	a := k.accessTo(v, q)
	if err := v.room(a.count, q.limit); err != nil {
		return nil, err
	}
	if q.limit == 0 {
		return k.whole(v, q, a, marker), v.work.Ended()
	}
	less := k.ordering(v, q)
	if q.reverse {
		forwards := less
		less = func(a, b *T) int { return forwards(b, a) }
	}
	rows := &top.Rows[T]{Limit: q.limit, Less: less}
	if walked := k.walk(v, q, a); walked != nil {
		for row := range walked {
			if k.accepts(v, q, row) {
				rows.List = append(rows.List, row)
			}
			if len(rows.List) == q.limit {
				break
			}
		}
	} else {
		for row := range a.rows {
			if (marker == nil || less(marker, row) < 0) && rows.Wants(row) && k.accepts(v, q, row) {
				rows.Add(row)
			}
		}
		rows.Cut()
	}
	if q.reverse {
		slices.Reverse(rows.List)
	}
	return rows.List, v.work.Ended()
}

// The memory of a list that is not short, bytes: for each row that may be in it, and
// for what is written but not sent.
const (
	roomOfRow  = 16
	roomOfList = 1 << 20
)

// room takes the memory of a list of so many rows, or of a shorter page.
func (v view) room(rows, limit int) error {
	if limit > 0 {
		rows = min(rows, top.Room(limit))
	}
	switch {
	case v.work == nil || rows < 2*rowsOfPart:
		return nil
	case rows > smallList && v.share.Pressure.Level() != admission.Calm:
		return &admission.Refusal{What: "the server's memory is nearly full, and the list is long", After: 5 * time.Second}
	}
	return v.work.Hold(v.share.Answers, roomOfList+int64(rows)*roomOfRow)
}

// whole is a list without a limit, from the marker on, if there is one.
func (k *kind[T]) whole(v view, q *query[T], a access[T], marker *T) []*T {
	rows := make([]*T, 0, min(a.count, wholeRoom))
	for row := range a.rows {
		if k.accepts(v, q, row) {
			rows = append(rows, row)
		} else if v.work.Ended() != nil {
			return nil
		}
	}
	if len(q.order) == 0 && marker == nil {
		return rows
	}
	less := k.ordering(v, q)
	// The store yields rows by id, so that they may be in order already.
	if !slices.IsSortedFunc(rows, less) {
		slices.SortFunc(rows, less)
	}
	if marker == nil {
		return rows
	}
	at, found := slices.BinarySearchFunc(rows, marker, less)
	switch {
	case q.reverse:
		return rows[:at]
	case found:
		return rows[at+1:]
	}
	return rows[at:]
}

// wholeRoom is for how many rows room is made before they are looked at.
const wholeRoom = 10_000

// ordering compares two rows by the sort keys and then by id, so that the order
// is total and a marker has one place.
func (k *kind[T]) ordering(v view, q *query[T]) func(a, b *T) int {
	return func(a, b *T) int {
		if !v.work.Step() {
			return 0 // nobody wants the order any more
		}
		for _, o := range q.order {
			c := k.compare(v, o.attr, a, b)
			if o.desc {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return strings.Compare(string(k.key(a)), string(k.key(b)))
	}
}

// compare orders two rows by one attribute.
func (k *kind[T]) compare(v view, by *wire.Attribute, a, b *T) int {
	if flag := k.flags[by.Name]; flag != nil {
		p, q := flag(v, a), flag(v, b)
		return wire.Compare(&p, &q)
	}
	if k.present != nil {
		a, b = k.present(v, a), k.present(v, b)
	}
	return wire.Compare(by.Of(a), by.Of(b))
}

// appendLinks writes the links to the next and previous page (api.md section
// 1.8). A full last page still has a next one, which is empty.
func (k *kind[T]) appendLinks(b []byte, c *call, q *query[T], rows []*T) []byte {
	type link struct{ rel, href string }
	var links []link
	full := len(rows) >= q.limit
	if full || q.reverse {
		params := without(c.query, paramMarker, paramReverse)
		if len(rows) > 0 {
			params.Set(paramMarker, string(k.key(rows[len(rows)-1])))
		}
		links = append(links, link{"next", c.link(params)})
	}
	if full || !q.reverse {
		params := without(c.query, paramMarker)
		if len(rows) > 0 {
			params.Set(paramMarker, string(k.key(rows[0])))
		}
		params.Set(paramReverse, "True")
		links = append(links, link{"previous", c.link(params)})
	}
	return wire.AppendList(b, links, func(b []byte, l link) []byte {
		b = wire.AppendString(append(b, `{"rel":`...), l.rel)
		return append(wire.AppendString(append(b, `,"href":`...), l.href), '}')
	})
}

// without is a copy of the parameters that lacks some.
func without(params url.Values, names ...string) url.Values {
	out := make(url.Values, len(params))
	for key, values := range params {
		if !slices.Contains(names, key) {
			out[key] = values
		}
	}
	return out
}
