package api

import (
	"net/url"
	"slices"
	"strings"
)

// page is the rows that a list request asks for, in order.
func (k *kind[T]) page(v view, q *query[T]) ([]*T, error) {
	less := k.ordering(q)
	rows := k.rows(v, q)
	// The store yields rows by id, so that the usual page is sorted already.
	ordered := len(q.order) > 0 || q.limit > 0 || q.marker != ""
	if ordered && !slices.IsSortedFunc(rows, less) {
		slices.SortStableFunc(rows, less)
	}
	if q.marker != "" {
		marker, err := k.find(v, q.marker)
		if err != nil {
			return nil, err
		}
		at, found := slices.BinarySearchFunc(rows, marker, less)
		switch {
		case q.reverse:
			rows = rows[:at]
		case found:
			rows = rows[at+1:]
		default:
			rows = rows[at:]
		}
	}
	if q.limit == 0 || len(rows) <= q.limit {
		return rows, nil
	}
	if q.reverse {
		return rows[len(rows)-q.limit:], nil
	}
	return rows[:q.limit], nil
}

// ordering compares two rows by the sort keys and then by id, so that the order
// is total and a marker has one place.
func (k *kind[T]) ordering(q *query[T]) func(a, b *T) int {
	return func(a, b *T) int {
		for _, o := range q.order {
			c := compare(o.attr.of(a), o.attr.of(b))
			if o.desc {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return strings.Compare(string(k.table.ID(a)), string(k.table.ID(b)))
	}
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
			params.Set(paramMarker, string(k.table.ID(rows[len(rows)-1])))
		}
		links = append(links, link{"next", c.link(params)})
	}
	if full || !q.reverse {
		params := without(c.query, paramMarker)
		if len(rows) > 0 {
			params.Set(paramMarker, string(k.table.ID(rows[0])))
		}
		params.Set(paramReverse, "True")
		links = append(links, link{"previous", c.link(params)})
	}
	return appendList(b, links, func(b []byte, l link) []byte {
		b = appendString(append(b, `{"rel":`...), l.rel)
		return append(appendString(append(b, `,"href":`...), l.href), '}')
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
