package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"neutrino"
	"neutrino/api/admission"
	"neutrino/api/bounds"
	"neutrino/api/conns"
	"neutrino/api/wire"
	"neutrino/intent"
)

// call is one request as the resources see it.
type call struct {
	api    *api
	ctx    context.Context
	id     string // req-<uuid>
	source string // the client's address
	caller intent.Caller
	judge  judge
	method string
	header http.Header
	base   string // scheme and host for links
	path   string // as asked for
	query  url.Values
	body   []byte

	flow string // whose share the request uses; "" before the caller is known
	work *admission.Work
}

// The estimates of what requests cost. They decide only who is first of those that
// come at once: after a slice a request pays what it used.
const (
	baseCost    = 50 * time.Microsecond
	rowCost     = 3 * time.Microsecond
	bytesOfCost = 64 // of a body, for a microsecond
)

// maxURL is how many bytes a path with its query may have: 400 ids in filters.
const maxURL = 16 << 10

// The sizes from which memory is asked for, and from which on a request is refused
// while the heap is near its limit.
const (
	smallValues = 256 << 10 // bytes
	smallBody   = 64 << 10  // bytes
	smallList   = 1000      // rows
)

// read reads the request, as far as it is let in, and gives it its seat.
func (c *call) read(w http.ResponseWriter, r *http.Request) error {
	if len(r.URL.RawQuery)+len(r.URL.Path) > maxURL {
		return &httpError{http.StatusRequestURITooLong, typeLongURI, "The path and query have more than 16384 bytes: filter by fewer values at once."}
	}
	var err error
	if c.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return wire.BadRequest("The query string is malformed")
	}
	if d := c.api.opts.Door; d != nil && !isOpen(c.path) {
		if err := d.Admit(r); err != nil {
			return err
		}
	}
	// Who proves nothing is not read from.
	if err := c.api.identify(c, c.id); err != nil {
		return err
	}
	if isOpen(c.path) {
		return nil // never waits: others look after the server by it
	}
	c.flow = cmp.Or(c.caller.ProjectID, c.source)
	share := c.api.opts.Share
	if level := share.Pressure.Level(); level == admission.Full || level == admission.Strained && r.ContentLength > smallBody {
		return &admission.Refusal{What: "the server's memory is nearly full", After: 5 * time.Second}
	}
	body := conns.NewBody(share.Bodies, c.flow)
	c.work = share.Work(c.ctx, c.flow)
	c.work.Keep(body.Release)
	if err := conns.ReadBody(w, r, body, c.api.opts.MaxBody); err != nil {
		return bodyError(err)
	}
	c.body = body.Bytes
	return c.work.Pass().Enter(c.ctx, c.estimate())
}

// estimate is how long the request may take.
func (c *call) estimate() time.Duration {
	d := baseCost + time.Duration(len(c.body)/bytesOfCost)*time.Microsecond
	parts, err := wire.Segments(c.path, tagsMember)
	if c.method != http.MethodGet || err != nil || len(parts) < 2 || len(c.query["id"]) > 0 {
		return d
	}
	if res, rest := c.api.find(parts[1:]); res != nil && len(rest) == 0 {
		rows := res.size(c.api.db.Snapshot())
		if limit, err := parseLimit(c.query[paramLimit]); err == nil && limit > 0 {
			rows = min(rows, limit)
		}
		if fields := len(c.query[paramFields]); fields > 0 {
			rows = rows * min(fields, fullRow) / fullRow
		}
		d += time.Duration(rows) * rowCost
	}
	return d
}

// fullRow is about how many attributes an object has.
const fullRow = 20

// do runs a transaction.
func (c *call) do(f func(*intent.Tx) error) error {
	return c.api.svc.Do(c.ctx, c.caller, admission.Attempts(c.work, f))
}

// parse reads the one JSON object of the body, if it has the shape and memory for
// it is there; no body at all is an empty object.
func (c *call) parse(shape bounds.Shape) (wire.Object, error) {
	if isBlank(c.body) {
		return wire.Object{}, nil
	}
	cost, err := bounds.Check(c.body, shape, c.work.Pause)
	if err == nil && cost > smallValues {
		err = c.work.Hold(c.api.opts.Share.Values, cost)
	}
	if err != nil {
		return nil, refusedBody(err)
	}
	raw, err := bounds.Build(c.body, c.work.Pause)
	if err != nil {
		return nil, refusedBody(err)
	}
	o, ok := raw.(wire.Object)
	if !ok {
		return nil, wire.BadRequest("Body contains invalid data")
	}
	return o, nil
}

// refusedBody is the 400 of a body that was refused as it came.
func refusedBody(err error) error {
	r, ok := bounds.IsRefused(err)
	switch {
	case !ok:
		return err
	case r.Reason != "":
		return wire.BadRequest("%s", r.Reason)
	}
	return unrecognized(r.Unknown)
}

func bodyError(err error) error {
	var large *http.MaxBytesError
	var full *admission.Refusal
	switch {
	case errors.As(err, &large):
		return &httpError{http.StatusRequestEntityTooLarge, typeTooLarge, "Request is too large: the limit is " + strconv.FormatInt(large.Limit, 10) + " bytes."}
	case errors.As(err, &full):
		return full
	}
	return wire.BadRequest("The request body could not be read")
}

// view is the newest state, as the caller sees it.
func (c *call) view() view {
	return view{
		Reader: c.api.db.Snapshot(), caller: c.caller, judge: c.judge, now: time.Now().UTC(),
		networks: map[neutrino.ID]*neutrino.Network{}, work: c.work, share: c.api.opts.Share, life: c.api.svc.Judge().State,
	}
}

// inside is the state within a transaction, as the caller sees it.
func (c *call) inside(tx *intent.Tx) view {
	return view{Reader: tx, caller: c.caller, judge: c.judge, now: tx.Now, life: tx.Life}
}

// allowed refuses a request on which a rule decides that looks at the caller
// only.
func (c *call) allowed(rule string) error {
	if c.judge.Allows(rule, nil) {
		return nil
	}
	return forbidden("rule:" + rule)
}
