package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"neutrino"
	"neutrino/intent"
)

// post creates one object or, with the plural key, many in one transaction.
func (k *kind[T]) post(c *call) (*reply, error) {
	body, err := parseBody(c.body)
	if err != nil {
		return nil, err
	}
	_, bulk := body[k.many]
	reqs, err := k.postRequests(c, body, bulk)
	if err != nil {
		return nil, err
	}
	var answer []byte
	err = c.api.svc.Do(c.ctx, c.caller, func(tx *intent.Tx) error {
		rows, err := k.createAll(tx, reqs)
		if err != nil {
			return err
		}
		v := view{Reader: tx, caller: c.caller, now: tx.Now}
		if bulk {
			answer = k.wrapMany(v, rows, nil)
		} else {
			answer = k.wrapOne(v, rows[0], nil)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusCreated, body: answer}, nil
}

// postRequests decodes the objects of a POST and checks who may send what.
func (k *kind[T]) postRequests(c *call, body object, bulk bool) ([]*request[T], error) {
	var items []object
	var err error
	switch {
	case !bulk:
		items = make([]object, 1)
		items[0], err = unwrapOne(body, k.one)
	case c.api.opts.RefuseBulk:
		return nil, badRequest("Bulk operation not supported")
	default:
		items, err = unwrapMany(body, k.one, k.many)
	}
	if err != nil {
		return nil, err
	}
	reqs := make([]*request[T], len(items))
	for i, raw := range items {
		if reqs[i], err = k.decode(post, raw); err != nil {
			return nil, err
		}
		k.ownedBy(c.caller, reqs[i])
	}
	for _, req := range reqs {
		if err := k.checkAttributes(c.caller, post, req); err != nil {
			return nil, err
		}
	}
	return reqs, nil
}

// ownedBy gives an object that names no project to the caller's.
func (k *kind[T]) ownedBy(caller intent.Caller, req *request[T]) {
	if a := k.attrs.byName["project_id"]; a != nil && !req.set[a.name] {
		*asString(a.of(&req.noun)) = caller.ProjectID
	}
}

// createAll creates the objects of one request, in their order.
func (k *kind[T]) createAll(tx *intent.Tx, reqs []*request[T]) ([]*T, error) {
	if k.checkMany != nil && len(reqs) > 1 {
		nouns := make([]T, len(reqs))
		for i, req := range reqs {
			nouns[i] = req.noun
		}
		if err := k.checkMany(nouns); err != nil {
			return nil, err
		}
	}
	rows := make([]*T, len(reqs))
	for i, req := range reqs {
		row, err := k.create(tx, req)
		if err != nil {
			return nil, err
		}
		rows[i] = row
	}
	return rows, nil
}

// checkAttributes refuses attributes that only admins may set. A POST with the
// default is no setting, a PUT always is (api.md section 1.9).
func (k *kind[T]) checkAttributes(caller intent.Caller, v verb, req *request[T]) error {
	if caller.Admin {
		return nil
	}
	rule := "create_" + k.one
	if v == put {
		rule = "update_" + k.one
	}
	for _, a := range k.attrs.list {
		if !req.set[a.name] || v.may(a) != adminOnly || v == post && a.isUnset(&req.noun) {
			continue
		}
		return forbidden(fmt.Sprintf("(rule:%s and rule:%s:%s)", rule, rule, a.name))
	}
	return nil
}

// put changes the attributes that the body names.
func (k *kind[T]) put(c *call, id neutrino.ID) (*reply, error) {
	body, err := parseBody(c.body)
	if err != nil {
		return nil, err
	}
	raw, err := unwrapOne(body, k.one)
	if err != nil {
		return nil, err
	}
	req, err := k.decode(put, raw)
	if err != nil {
		return nil, err
	}
	match, err := ifMatch(c.header)
	if err != nil {
		return nil, err
	}
	change := func(old *T) error {
		if err := k.checkAttributes(c.caller, put, req); err != nil {
			return err
		}
		if err := checkRevision(old, match); err != nil {
			return err
		}
		k.apply(old, req)
		return nil
	}
	var answer []byte
	err = c.api.svc.Do(c.ctx, c.caller, func(tx *intent.Tx) error {
		row, err := k.update(tx, id, change, req.set)
		if err != nil {
			return err
		}
		answer = k.wrapOne(view{Reader: tx, caller: c.caller, now: tx.Now}, row, nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusOK, body: answer}, nil
}

// apply writes the named attributes of a request over an object.
func (k *kind[T]) apply(row *T, req *request[T]) {
	for _, a := range k.attrs.list {
		if req.set[a.name] {
			a.copyTo(row, &req.noun)
		}
	}
}

func (k *kind[T]) delete(c *call, id neutrino.ID) (*reply, error) {
	if len(c.body) > 0 {
		return nil, badRequest("Request body is not supported in DELETE.")
	}
	match, err := ifMatch(c.header)
	if err != nil {
		return nil, err
	}
	err = c.api.svc.Do(c.ctx, c.caller, func(tx *intent.Tx) error {
		v := view{Reader: tx, caller: c.caller, now: tx.Now}
		row, err := k.find(v, id)
		if err != nil {
			return err
		}
		if err := checkRevision(row, match); err != nil {
			return err
		}
		return k.remove(tx, id)
	})
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusNoContent}, nil
}

// checkRevision compares an object with the revision that the client has seen.
func checkRevision(row any, match *int64) error {
	if std, ok := standardOf(row); ok && match != nil {
		return intent.CheckRevision(std, *match)
	}
	return nil
}

// ifMatch is the revision that an If-Match header asks for, or nil
// (api.md section 1.4).
func ifMatch(h http.Header) (*int64, error) {
	values := h.Values("If-Match")
	if len(values) == 0 {
		return nil, nil
	}
	bad := neutrino.Errorf(neutrino.Invalid, typeBadQuery, "Bad if-match request: Invalid If-Match header: %s.",
		strings.Join(values, ", "))
	if len(values) > 1 {
		return nil, bad
	}
	digits, ok := strings.CutPrefix(strings.TrimSpace(values[0]), "revision_number=")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil {
		return nil, bad
	}
	return &n, nil
}
