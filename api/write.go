package api

import (
	"net/http"
	"strconv"
	"strings"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/intent"
)

// post creates one object or, with the plural key, many in one transaction.
func (k *kind[T]) post(c *call) (*reply, error) {
	body, err := c.parse(k.shape())
	if err != nil {
		return nil, err
	}
	_, bulk := body[k.many]
	reqs, err := k.postRequests(c, body, bulk)
	if err != nil {
		return nil, err
	}
	var answer []byte
	err = c.do(func(tx *intent.Tx) error {
		v := c.inside(tx)
		for _, req := range reqs {
			if err := k.permitCreate(v, req); err != nil {
				return err
			}
		}
		rows, err := k.createAll(tx, reqs)
		if err != nil {
			return err
		}
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
func (k *kind[T]) postRequests(c *call, body wire.Object, bulk bool) ([]*request[T], error) {
	var items []wire.Object
	var err error
	switch {
	case !bulk:
		items = make([]wire.Object, 1)
		items[0], err = unwrapOne(body, k.one)
	case c.api.opts.RefuseBulk:
		return nil, wire.BadRequest("Bulk operation not supported")
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
		if err := k.ownedBy(c.caller, reqs[i]); err != nil {
			return nil, err
		}
	}
	return reqs, nil
}

// ownedBy gives an object that names no project to the caller's, and refuses
// another's.
func (k *kind[T]) ownedBy(caller intent.Caller, req *request[T]) error {
	a := k.attrs.ByName["project_id"]
	switch {
	case a == nil:
		return nil
	case req.set[a.Name]:
		return caller.MayName(*wire.AsString(a.Of(&req.noun)))
	case caller.ProjectID == "":
		// What a token of the whole system makes would be nobody's, and in no quota.
		return wire.BadRequest("The token is of no project: specify project_id")
	}
	*wire.AsString(a.Of(&req.noun)) = caller.ProjectID
	return nil
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
		row, err := k.create.make(tx, req)
		if err != nil {
			return nil, err
		}
		rows[i] = row
	}
	return rows, nil
}

// put changes the attributes that the body names.
func (k *kind[T]) put(c *call, id neutrino.ID) (*reply, error) {
	body, err := c.parse(k.shape())
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
	var answer []byte
	err = c.do(func(tx *intent.Tx) error {
		v := c.inside(tx)
		change := func(row *T) error {
			revision, rule := checkRevision(row, match), "update_"+k.ruleName()
			// The object as it is decides whether the caller sees it; what the request
			// makes of it must be allowed too.
			if err := k.permit(v, rule, row); err != nil {
				return err
			}
			k.apply(row, req)
			if !v.judge.Allows(rule, target[T]{k, v, row}) {
				return forbidden("rule:" + rule)
			}
			if err := k.permitAttributes(v, target[T]{k, v, row}, req); err != nil {
				return err
			}
			return revision
		}
		row, err := k.update(tx, id, change, req.set)
		if err != nil {
			return err
		}
		answer = k.wrapOne(v, row, nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusOK, body: answer}, nil
}

// apply writes the named attributes of a request over an object.
func (k *kind[T]) apply(row *T, req *request[T]) {
	for _, a := range k.attrs.List {
		if req.set[a.Name] {
			a.CopyTo(row, &req.noun)
		}
	}
}

func (k *kind[T]) delete(c *call, id neutrino.ID) (*reply, error) {
	if len(c.body) > 0 {
		return nil, wire.BadRequest("Request body is not supported in DELETE.")
	}
	match, err := ifMatch(c.header)
	if err != nil {
		return nil, err
	}
	err = c.do(func(tx *intent.Tx) error {
		v := c.inside(tx)
		row, err := k.find(v, id)
		if err == nil {
			err = k.permit(v, "delete_"+k.ruleName(), row)
		}
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
	if std, ok := wire.StandardOf(row); ok && match != nil {
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
