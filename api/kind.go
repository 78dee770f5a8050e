package api

import (
	"iter"
	"maps"
	"net/http"
	"slices"
	"time"

	"neutrino"
	"neutrino/api/admission"
	"neutrino/api/openapi"
	"neutrino/api/wire"
	"neutrino/auth"
	"neutrino/intent"
	"neutrino/intent/liveness"
	"neutrino/intent/quota"
	"neutrino/store"
)

// resource is one collection of the API. The registry is a list of them.
type resource interface {
	called() names
	collection(c *call) (*reply, error)
	item(c *call, id neutrino.ID) (*reply, error)
	// routes are the requests that it answers, also below its items.
	routes() []route
	// describe is what the OpenAPI document says of it.
	describe() *openapi.Resource
	// guard takes note of what the policy decides on.
	guard(p *auth.Policy)
	// size is about how many rows there are.
	size(store.Reader) int
}

// parent is a resource that answers for paths below its items.
type parent interface {
	below(c *call, id neutrino.ID, rest []string) (*reply, error)
}

// names are what a resource is called on the wire.
type names struct {
	one  string // the key around one object, "security_group"
	many string // the key around a list, "security_groups"
	path string // the path's segment, "security-groups"
	typ  string // the type of its 404, "SecurityGroupNotFound"
	text string // the text of its 404, with one %s for the id
}

// missing is the 404 of an object that does not exist or that the caller may
// not see.
func (n names) missing(id neutrino.ID) error {
	return neutrino.Errorf(neutrino.NotFound, n.typ, n.text, id)
}

// view is what an answer is made from: a state of the store, who is asking, what
// that caller may do, and when.
type view struct {
	store.Reader
	caller intent.Caller
	judge  judge
	now    time.Time
	life   func(host string) liveness.State
	// networks are those that the answer has asked for; nil where they can change
	// meanwhile.
	networks map[neutrino.ID]*neutrino.Network
	// work lets others have their turn; nil where that cannot be.
	work  *admission.Work
	share *admission.Desk
}

// again is the view of a snapshot for another goroutine.
func (v view) again() view {
	v.judge.Judge, v.networks, v.work = v.judge.Again(), map[neutrino.ID]*neutrino.Network{}, nil
	return v
}

// judge is the policy, and what it says to the caller.
type judge struct {
	*auth.Policy
	*auth.Judge
}

// network is the network of the id, whether the caller sees it or not.
func (v view) network(id neutrino.ID) (*neutrino.Network, bool) {
	if n := v.networks[id]; n != nil {
		return n, true
	}
	n, ok := store.Peek(v.Reader, store.Networks, id)
	if ok && v.networks != nil {
		v.networks[id] = n
	}
	return n, ok
}

// kind is a resource whose objects are nouns of type T. A nil function means
// that the verb does not exist.
type kind[T any] struct {
	names
	table   *store.Table[T]
	indexes []filterIndex[T] // in order of preference
	visible func(intent.Caller, store.Reader, *T) bool
	// reach, where there is one, finds all rows that a caller may see who may not
	// see everything, and perhaps others.
	reach func(view) []keyed[T]
	// unwritten, where there is one, are rows that the caller sees although they
	// are written only when a request needs them: those that the wanted values of
	// filters may be looking for, and perhaps others.
	unwritten func(v view, wanted map[string][]string) []*T
	// rule is what the policy's rules call the kind, where that is not names.one.
	rule    string
	related related[T]
	// above, where there is one, is the 404 of a new object below something that
	// the caller does not see.
	above func(view, *T) error

	// create makes objects; see [limited].
	create *maker[T]
	// checkMany, where there is one, checks the objects of a bulk request
	// against each other.
	checkMany func([]T) error
	update    func(*intent.Tx, neutrino.ID, func(*T) error, neutrino.Fields) (*T, error)
	remove    func(*intent.Tx, neutrino.ID) error

	// reshape, where there is one, says the object of a request otherwise before it
	// is decoded.
	reshape  func(wire.Object) (wire.Object, error)
	reshaped []string // the names that it knows beside the attributes
	// parse replaces the parser of an attribute.
	parse map[string]func(*T, any) error
	// hidden are ids that a POST takes and that no answer shows.
	hidden []string
	// asides are other values that a POST takes and that no answer shows, each as
	// a pointer to what it is read into.
	asides map[string]func() any
	// aliases are other names of attributes, which requests may say and no answer
	// does.
	aliases map[string]string
	// parts are attributes inside attributes; those that a request names are in
	// its set as "attribute.part".
	parts map[string][]string
	// present makes a copy of a row with what follows from the present.
	present func(view, *T) *T
	// computed holds attributes that are no fields, or are written otherwise.
	computed []column[T]
	// flags are the attributes by which lists are sorted that follow from other rows.
	flags map[string]fact[T]
	// filters are filters that are no attributes.
	filters map[string]func(*query[T], []string) error
	// scope, where there is one, is all that there is: the rows below a parent.
	scope func(view) iter.Seq[*T]
	// key is a row's id. Without a table the rows are those of the scope.
	key func(*T) neutrino.ID
	// members answer for the paths below an item, by their first segment.
	members map[string]member

	attrs   *wire.Attributes
	columns []column[T]
	// others are the second names of attributes, rules what the policy's rules on
	// each attribute of the list are called: both are asked for with each object.
	others map[string]string
	rules  map[verb][]string
}

// member answers /v2.0/<path>/<id>/<member>/<rest>.
type member struct {
	answer func(c *call, id neutrino.ID, rest []string) (*reply, error)
	// routes have paths below the member.
	routes []route
}

// maker makes objects of a kind, of which a project has a limited number.
type maker[T any] struct {
	limit quota.Limit
	make  func(*intent.Tx, *request[T]) (*T, error)
}

// limited is the create of a kind. A kind that objects are made of does not compile
// without its limit: a noun without one fills the cloud for everybody.
func limited[T any](limit quota.Limit, create func(*intent.Tx, *request[T]) (*T, error)) *maker[T] {
	return &maker[T]{limit, create}
}

// from is [limited] for a kind without hidden attributes.
func from[T any](limit quota.Limit, create func(*intent.Tx, T, neutrino.Fields) (*T, error)) *maker[T] {
	return limited(limit, func(tx *intent.Tx, req *request[T]) (*T, error) { return create(tx, req.noun, req.set) })
}

// column is one attribute of an answer.
type column[T any] struct {
	name  string
	rule  string // of the policy, where one decides who sees the attribute
	write func(b []byte, v view, row *T) []byte
	has   func(v view, row *T) bool // where only some objects have the attribute
	form  openapi.Schema            // of what write writes, where neither the noun nor the name says it

	key []byte // the name as a JSON key with its colon
}

// ready completes a kind with what follows from its noun.
func (k kind[T]) ready() *kind[T] {
	if k.key == nil {
		k.key = k.table.ID
	}
	k.attrs, k.others = wire.AttributesOf[T](), k.otherNames()
	k.rules = map[verb][]string{}
	for _, a := range k.attrs.List {
		for _, v := range []verb{post, put} {
			k.rules[v] = append(k.rules[v], v.prefix()+k.ruleName()+":"+a.Name)
		}
		col := column[T]{name: a.Name, write: func(b []byte, _ view, row *T) []byte {
			return a.Append(b, row)
		}}
		if i := k.computedAt(a.Name); i >= 0 {
			col.write, col.has = k.computed[i].write, k.computed[i].has
		}
		k.columns = append(k.columns, col)
		if a.Name == projectID {
			other := col
			other.name = tenantID
			k.columns = append(k.columns, other)
		}
	}
	for _, col := range k.computed {
		if k.attrs.ByName[col.name] == nil {
			k.columns = append(k.columns, col)
		}
	}
	for i := range k.columns {
		k.columns[i].key = append(wire.AppendString(nil, k.columns[i].name), ':')
	}
	return &k
}

func (k *kind[T]) called() names { return k.names }

func (k *kind[T]) size(r store.Reader) int {
	if k.table == nil {
		return 0
	}
	return store.Len(r, k.table)
}

// The two names of an object's project, which requests and answers have
// (api.md section 1.5).
const (
	projectID = "project_id"
	tenantID  = "tenant_id"
)

// otherNames are the second names of attributes.
func (k *kind[T]) otherNames() map[string]string {
	names := map[string]string{tenantID: projectID}
	maps.Copy(names, k.aliases)
	return names
}

// attribute is the one that a client calls so, nil for none.
func (k *kind[T]) attribute(name string) *wire.Attribute {
	if a, ok := k.others[name]; ok {
		name = a
	}
	return k.attrs.ByName[name]
}

func (k *kind[T]) computedAt(name string) int {
	return slices.IndexFunc(k.computed, func(c column[T]) bool { return c.name == name })
}

func (k *kind[T]) isComputed(name string) bool { return k.computedAt(name) >= 0 }

// collection answers /v2.0/<path>.
func (k *kind[T]) collection(c *call) (*reply, error) {
	switch {
	case c.method == http.MethodGet:
		return k.list(c)
	case c.method == http.MethodPost && k.create != nil:
		return k.post(c)
	case k.create != nil:
		return nil, notAllowed(c.method, http.MethodGet, http.MethodPost)
	}
	return nil, notAllowed(c.method, http.MethodGet)
}

// item answers /v2.0/<path>/<id>.
func (k *kind[T]) item(c *call, id neutrino.ID) (*reply, error) {
	allowed := []string{http.MethodGet}
	if k.update != nil {
		allowed = append(allowed, http.MethodPut)
	}
	if k.remove != nil {
		allowed = append(allowed, http.MethodDelete)
	}
	switch {
	case !slices.Contains(allowed, c.method):
		return nil, notAllowed(c.method, allowed...)
	case c.method == http.MethodPut:
		return k.put(c, id)
	case c.method == http.MethodDelete:
		return k.delete(c, id)
	}
	return k.show(c, id)
}

// below answers /v2.0/<path>/<id>/<rest>.
func (k *kind[T]) below(c *call, id neutrino.ID, rest []string) (*reply, error) {
	if m, ok := k.members[rest[0]]; ok {
		return m.answer(c, id, rest[1:])
	}
	return nil, noResource()
}

// find is the object of the id, if the caller may see it.
func (k *kind[T]) find(v view, id neutrino.ID) (*T, error) {
	row, ok := k.at(v, id)
	if !ok || !k.visible(v.caller, v.Reader, row) {
		return nil, k.missing(id)
	}
	return row, nil
}

// gets reports whether the policy lets the caller get the object.
func (k *kind[T]) gets(v view, row *T) bool {
	rule := "get_" + k.ruleName()
	if allowed, known := v.judge.Decided(rule); known {
		return allowed
	}
	return v.judge.Allows(rule, target[T]{k, v, row})
}

// at is the row of the id.
func (k *kind[T]) at(v view, id neutrino.ID) (*T, bool) {
	rest := k.scope
	if k.table != nil {
		if row, ok := store.Peek(v.Reader, k.table, id); ok || k.unwritten == nil {
			return row, ok
		}
		rest = func(v view) iter.Seq[*T] {
			return slices.Values(k.unwritten(v, map[string][]string{"id": {string(id)}}))
		}
	}
	for row := range rest(v) {
		if k.key(row) == id {
			return row, true
		}
	}
	return nil, false
}

func (k *kind[T]) show(c *call, id neutrino.ID) (*reply, error) {
	v := c.view()
	row, err := k.find(v, id)
	if err == nil && !k.gets(v, row) {
		err = noResource()
	}
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusOK, body: k.wrapOne(v, row, fieldsOf(c.query))}, nil
}

func (k *kind[T]) list(c *call) (*reply, error) {
	q, err := k.parseQuery(c)
	if err != nil {
		return nil, err
	}
	v := c.view()
	rows, err := k.page(v, q)
	if err != nil {
		return nil, err
	}
	tail := []byte{'}'}
	if q.limit > 0 {
		tail = append(wire.AppendString([]byte{','}, k.many+"_links"), ':')
		tail = append(k.appendLinks(tail, c, q, rows), '}')
	}
	if len(rows) >= 2*rowsOfPart {
		return &reply{status: http.StatusOK, stream: k.stream(c, v, listing[T]{rows, q.fields, tail})}, nil
	}
	b := k.wrapMany(v, rows, q.fields)
	return &reply{status: http.StatusOK, body: append(b[:len(b)-1], tail...)}, nil
}

// wrapOne writes {"<one>": {…}}.
func (k *kind[T]) wrapOne(v view, row *T, fields map[string]bool) []byte {
	b := append(wire.AppendString(append(make([]byte, 0, 2048), '{'), k.one), ':')
	return append(k.appendRow(b, v, row, fields), '}')
}

// wrapMany writes {"<many>": […]}.
func (k *kind[T]) wrapMany(v view, rows []*T, fields map[string]bool) []byte {
	b := append(wire.AppendString(append(make([]byte, 0, 64+rowRoom*len(rows)), '{'), k.many), ':')
	b = wire.AppendList(b, rows, func(b []byte, row *T) []byte { return k.appendRow(b, v, row, fields) })
	return append(b, '}')
}

// appendRow writes one object: the attributes that the caller may see, and of
// these the ones asked for; nil fields are all.
func (k *kind[T]) appendRow(b []byte, v view, row *T, fields map[string]bool) []byte {
	if k.present != nil {
		row = k.present(v, row)
	}
	b = append(b, '{')
	first := true
	for i := range k.columns {
		col := &k.columns[i]
		if fields != nil && !fields[col.name] || !k.shows(v, col, row) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = col.write(append(b, col.key...), v, row)
	}
	return append(b, '}')
}
