package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/store"
)

// The parameters of a list that are no filters.
const (
	paramFields  = "fields"
	paramLimit   = "limit"
	paramMarker  = "marker"
	paramReverse = "page_reverse"
	paramSortKey = "sort_key"
	paramSortDir = "sort_dir"
)

// query is a parsed list request.
type query[T any] struct {
	match []func(v view, row *T) bool // all must hold
	// keys has the wanted values of each plain filter, for the indexes.
	keys    map[string][]string
	fields  map[string]bool // nil is all
	order   []order
	limit   int // 0 is none
	marker  neutrino.ID
	reverse bool
}

// order is one sort key.
type order struct {
	attr *wire.Attribute
	desc bool
}

// filterIndex finds the rows of a filter's value without reading the table.
type filterIndex[T any] struct {
	filter string
	index  *store.Index[T]
}

// fieldsOf is the set of attributes that a request wants to see, or nil for all.
func fieldsOf(q url.Values) map[string]bool {
	var fields map[string]bool
	for _, f := range q[paramFields] {
		if f == "" {
			continue
		}
		if fields == nil {
			fields = map[string]bool{}
		}
		fields[f] = true
	}
	return fields
}

// parseQuery reads the parameters of a list (api.md sections 1.6 to 1.8).
func (k *kind[T]) parseQuery(c *call) (*query[T], error) {
	q := &query[T]{keys: map[string][]string{}, fields: fieldsOf(c.query)}
	if err := k.parseFilters(c, q); err != nil {
		return nil, err
	}
	if err := k.parseOrder(c.query, q); err != nil {
		return nil, err
	}
	limit, err := parseLimit(c.query[paramLimit])
	if err != nil {
		return nil, err
	}
	if most := c.api.opts.MaxPage; most > 0 && (limit == 0 || limit > most) {
		limit = most
	}
	q.limit = limit
	q.marker = neutrino.ID(c.query.Get(paramMarker))
	q.reverse = strings.EqualFold(c.query.Get(paramReverse), "true")
	return q, nil
}

func (k *kind[T]) parseFilters(c *call, q *query[T]) error {
	var unknown []string
	for key, values := range c.query {
		switch key {
		case paramFields, paramLimit, paramMarker, paramReverse, paramSortKey, paramSortDir:
			continue
		}
		if special := k.filters[key]; special != nil {
			if err := special(q, values); err != nil {
				return err
			}
			continue
		}
		a := k.attribute(key)
		if a == nil || !a.Filter {
			unknown = append(unknown, "'"+key+"'")
			continue
		}
		if err := k.filterBy(c, q, a, values); err != nil {
			return err
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return wire.BadRequest("[%s] is invalid attribute for filtering", strings.Join(unknown, ", "))
	}
	return nil
}

// filterBy adds the filter of one attribute: any of the values.
func (k *kind[T]) filterBy(c *call, q *query[T], a *wire.Attribute, values []string) error {
	wanted := make(map[string]bool, len(values))
	list := make([]string, 0, len(values))
	for _, value := range values {
		s, err := canonical(a, value)
		if err != nil {
			return err
		}
		if !wanted[s] {
			wanted[s] = true
			list = append(list, s)
		}
	}
	if rule := "get_" + k.ruleName() + ":" + a.Name; c.judge.Has(rule) {
		// What a caller may not see it may not find out by asking, either.
		q.match = append(q.match, func(v view, row *T) bool { return v.judge.Allows(rule, target[T]{k, v, row}) })
	}
	q.keys[a.Name] = list
	q.match = append(q.match, func(v view, row *T) bool {
		if k.present != nil {
			row = k.present(v, row)
		}
		return wanted[wire.Text(a.Of(row))]
	})
	return nil
}

// canonical spells a filter's value as [text] spells the attribute. A value of
// the right type that no object can have is no error: it finds nothing.
func canonical(a *wire.Attribute, value string) (string, error) {
	p := a.Scratch()
	if wire.AsString(p) != nil || value == "" {
		return value, nil
	}
	loose := wire.Attribute{Name: a.Name, Type: a.Type, Null: true}
	if err := wire.Decode(&loose, p, value); err != nil {
		return "", neutrino.Invalidf("'%s' is not a value of %s", wire.Show(value), a.Name)
	}
	return wire.Text(p), nil
}

// mostSortKeys is by how many attributes a list is sorted: each is compared for each
// two rows that have the others alike.
const mostSortKeys = 4

func (k *kind[T]) parseOrder(params url.Values, q *query[T]) error {
	keys, dirs := params[paramSortKey], params[paramSortDir]
	if len(keys) != len(dirs) {
		return wire.BadRequest("The number of sort_keys and sort_dirs must be same")
	}
	if len(keys) > mostSortKeys {
		return wire.BadRequest("sort_key: a list is sorted by at most %d keys, not %d", mostSortKeys, len(keys))
	}
	var bad []string
	for i, key := range keys {
		a := k.attribute(key)
		if a == nil || !a.Sort {
			bad = append(bad, "'"+key+"'")
			continue
		}
		if dirs[i] != "asc" && dirs[i] != "desc" {
			return wire.BadRequest("['%s'] is invalid value for sort_dirs, valid value is 'asc' and 'desc'", wire.Show(dirs[i]))
		}
		q.order = append(q.order, order{attr: a, desc: dirs[i] == "desc"})
	}
	if len(bad) > 0 {
		return wire.BadRequest("[%s] is invalid attribute for sort_keys", strings.Join(bad, ", "))
	}
	return nil
}

func parseLimit(values []string) (int, error) {
	if len(values) == 0 || values[len(values)-1] == "" {
		return 0, nil
	}
	value := values[len(values)-1]
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0, neutrino.Errorf(neutrino.Invalid, typeBadQuery,
			"Bad limit request: Limit must be an integer 0 or greater and not '%s'.", wire.Show(value))
	}
	return n, nil
}
