package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"neutrino/api/wire"
)

// The paths by which others look after the server, without a token.
const (
	pathAlive = "/healthz" // the process answers
	pathReady = "/readyz"  // and can serve
)

// readyTimeout is how long the server may take to find out whether it can serve.
const readyTimeout = 2 * time.Second

// Observation is one answer, as measurements count it.
type Observation struct {
	Method   string
	Resource string // the collection's path, "other" for everything else
	Status   int
	Duration time.Duration
}

// open answers what is for everybody.
func (a *api) open(c *call) (*reply, error) {
	if c.method != http.MethodGet && c.method != http.MethodHead {
		return nil, notAllowed(c.method, http.MethodGet)
	}
	switch strings.TrimRight(c.path, "/") {
	case pathDocument:
		return &reply{status: http.StatusOK, body: a.document}, nil
	case pathReady:
		return a.ready(c.ctx), nil
	}
	return &reply{status: http.StatusOK, body: []byte(`{"status":"alive"}`)}, nil
}

// ready says whether the server can serve, and if not, why.
func (a *api) ready(ctx context.Context) *reply {
	if a.opts.Ready != nil {
		ctx, cancel := context.WithTimeout(ctx, readyTimeout)
		defer cancel()
		if err := a.opts.Ready(ctx); err != nil {
			b := wire.AppendString([]byte(`{"status":"not ready","reason":`), err.Error())
			return &reply{status: http.StatusServiceUnavailable, body: append(a.appendNotes(b), '}')}
		}
	}
	return &reply{status: http.StatusOK, body: append(a.appendNotes([]byte(`{"status":"ready"`)), '}')}
}

// appendNotes writes what an operator should look after, if there is something.
func (a *api) appendNotes(b []byte) []byte {
	if a.opts.Notes == nil {
		return b
	}
	notes := a.opts.Notes()
	if len(notes) == 0 {
		return b
	}
	return wire.AppendList(append(b, `,"notes":`...), notes, wire.AppendString)
}

// resourceOf is the collection of a path, for measurements: only what exists, so
// that a client cannot make up more of them.
func (a *api) resourceOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) >= 2 {
		if res, _ := a.find(parts[1:]); res != nil {
			return res.called().path
		}
	}
	return "other"
}
