package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/auth"
	"neutrino/store"
)

// report is a resource that is worked out, not stored: it has no verb but GET,
// no pages and no order.
type report[T any] struct {
	names
	rule   string // of the policy; what it decides on is the caller's own
	fields []field[T]
	// params are parameters that rows reads itself.
	params []string
	rows   func(v view, params url.Values) ([]T, error)
	// one finds a row; a nil function means that rows have no address.
	one func(v view, id neutrino.ID) (T, bool)
}

// field is one attribute of a report's row. What has no text cannot be a filter.
type field[T any] struct {
	name  string
	text  func(T) string               // what filters compare
	write func(b []byte, row T) []byte // nil writes the text as a string
}

// textField is a field that is shown as it is compared.
func textField[T any](name string, text func(T) string) field[T] {
	return field[T]{name: name, text: text}
}

// owned writes project_id under both of its names.
func owned[T any](project func(T) string) []field[T] {
	return []field[T]{textField("project_id", project), textField("tenant_id", project)}
}

func (r *report[T]) called() names { return r.names }

// size is not known before the rows are worked out.
func (r *report[T]) size(store.Reader) int { return 0 }

// guard has nothing to note: rules decide on whole rows.
func (r *report[T]) guard(*auth.Policy) {}

// routes are the requests that the report answers.
func (r *report[T]) routes() []route {
	out := []route{{"GET", "/v2.0/" + r.path, r.rule}}
	if r.one != nil {
		out = append(out, route{"GET", "/v2.0/" + r.path + "/{" + r.names.one + "_id}", r.rule})
	}
	return out
}

// collection answers /v2.0/<path>.
func (r *report[T]) collection(c *call) (*reply, error) {
	if c.method != http.MethodGet {
		return nil, notAllowed(c.method, http.MethodGet)
	}
	var rows []T
	var err error
	if c.judge.Allows(r.rule, mine(c.caller.ProjectID)) { // others find nothing (api.md section 1.9)
		if rows, err = r.rows(c.view(), c.query); err == nil {
			err = c.work.Ended()
		}
	}
	if err == nil {
		rows, err = r.filter(c.query, rows)
	}
	if err != nil {
		return nil, err
	}
	shown := fieldsOf(c.query)
	b := append(wire.AppendString([]byte{'{'}, r.many), ':')
	b = wire.AppendList(b, rows, func(b []byte, row T) []byte { return r.appendRow(b, row, shown) })
	return &reply{status: http.StatusOK, body: append(b, '}')}, nil
}

// item answers /v2.0/<path>/<id>.
func (r *report[T]) item(c *call, id neutrino.ID) (*reply, error) {
	if r.one == nil {
		return nil, noResource()
	}
	if c.method != http.MethodGet {
		return nil, notAllowed(c.method, http.MethodGet)
	}
	row, ok := r.one(c.view(), id)
	if !ok || !c.judge.Allows(r.rule, mine(c.caller.ProjectID)) {
		return nil, r.missing(id)
	}
	b := append(wire.AppendString([]byte{'{'}, r.names.one), ':')
	return &reply{status: http.StatusOK, body: append(r.appendRow(b, row, fieldsOf(c.query)), '}')}, nil
}

// filter keeps the rows that match every parameter: any of its values.
func (r *report[T]) filter(params url.Values, rows []T) ([]T, error) {
	var unknown []string
	for key, values := range params {
		if key == paramFields || slices.Contains(r.params, key) {
			continue
		}
		i := slices.IndexFunc(r.fields, func(f field[T]) bool { return f.name == key && f.text != nil })
		if i < 0 {
			unknown = append(unknown, "'"+key+"'")
			continue
		}
		rows = slices.DeleteFunc(rows, func(row T) bool { return !slices.Contains(values, r.fields[i].text(row)) })
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, wire.BadRequest("[%s] is invalid attribute for filtering", strings.Join(unknown, ", "))
	}
	return rows, nil
}

func (r *report[T]) appendRow(b []byte, row T, shown map[string]bool) []byte {
	b = append(b, '{')
	first := true
	for _, f := range r.fields {
		if shown != nil && !shown[f.name] {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(wire.AppendString(b, f.name), ':')
		if f.write != nil {
			b = f.write(b, row)
		} else {
			b = wire.AppendString(b, f.text(row))
		}
	}
	return append(b, '}')
}
