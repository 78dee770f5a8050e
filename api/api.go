// Package api is the station that speaks HTTP: the Networking API v2.0 in its
// wire form, with filters, sorting, pages and error bodies. It turns a request
// into nouns for intent, and nouns into an answer.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"neutrino"
	"neutrino/api/admission"
	"neutrino/api/bounds"
	"neutrino/api/door"
	"neutrino/api/extension"
	"neutrino/api/wire"
	"neutrino/auth"
	"neutrino/intent"
	"neutrino/store"
)

// Options are what an operator sets for the API. The names in brackets are
// Neutron's options.
type Options struct {
	// LinkPrefix [network_link_prefix] replaces scheme and host in links; empty
	// takes them from the request.
	LinkPrefix string
	// MaxPage [pagination_max_limit] is the longest page of a list; 0 or less is
	// no limit.
	MaxPage int
	// RefuseBulk is the opposite of [allow_bulk].
	RefuseBulk bool
	// MaxBody [max_request_body_size] is the longest body in bytes; 0 means
	// [DefaultMaxBody].
	MaxBody int64
	// Auth finds out who asks; nil believes the headers ([auth.NoAuth]), for
	// loopback only.
	Auth auth.Authenticator
	// Door keeps other people's web pages out; nil lets everything in.
	Door *door.Door
	// Policy is what callers may do; nil is Neutron's defaults.
	Policy *auth.Policies
	// Ready says why the server cannot serve now, for /readyz; nil means that it
	// always can.
	Ready func(context.Context) error
	// Notes are what an operator should look after although the server can serve,
	// for /readyz; they hold no names, because anybody reads them. nil is none.
	Notes func() []string
	// Share is what requests share, and [admission.NewDesk] makes it; nil is one for
	// a gigabyte of memory.
	Share *admission.Desk
	// Observe is told of each answer; nil means that nobody is.
	Observe func(Observation)
	// Log gets a line for each request; nil means slog.Default().
	Log *slog.Logger
}

// DefaultMaxBody is the longest request body in bytes, enough for a bulk
// request of some thousand ports.
const DefaultMaxBody = 4 << 20

// api answers requests. It never changes after New.
type api struct {
	svc  *intent.Service
	db   *store.DB
	opts Options

	resources  map[string]resource // by path, as [dashed] spells it
	order      []resource
	extensions []byte // the whole list, as it is answered
	document   []byte // what the API is, in OpenAPI's words

	known, unknown *bounds.Meter // lines of the log for callers, and for who proves nothing
}

// DefaultProject owns what a caller without a project makes, when callers are
// who they say they are.
const DefaultProject = "default"

// New makes the handler of the whole API on a service and its store. The error
// names the routes that the policy has no rule for.
func New(svc *intent.Service, db *store.DB, opts Options) (http.Handler, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Auth == nil {
		opts.Auth = auth.NoAuth(DefaultProject)
	}
	if opts.Policy == nil {
		var err error
		if opts.Policy, err = auth.NewPolicies(nil, opts.Log); err != nil {
			return nil, err
		}
	}
	if opts.MaxBody == 0 {
		opts.MaxBody = DefaultMaxBody
	}
	if opts.Share == nil {
		opts.Share = admission.NewDesk(1 << 30)
	}
	a := &api{svc: svc, db: db, opts: opts, order: resources(svc.Config()), resources: map[string]resource{}}
	policy := opts.Policy.Current()
	for _, r := range a.order {
		a.resources[dashed(r.called().path)] = r
		r.guard(policy)
	}
	if err := unruled(policy, a.order); err != nil {
		return nil, err
	}
	a.extensions = extension.List()
	a.known = bounds.NewMeter(bounds.Lines{Burst: 20_000, Rate: 2000}, opts.Log)
	a.unknown = bounds.NewMeter(bounds.Lines{Burst: 200, Rate: 20}, opts.Log)
	var err error
	a.document, err = document(a.order)
	return a, err
}

// link is the address of the same collection with other parameters.
func (c *call) link(params url.Values) string {
	return c.base + c.path + "?" + params.Encode()
}

// isOpen reports whether the path is for everybody: what versions there are,
// what the API is, and how the server does.
func isOpen(path string) bool {
	switch strings.TrimRight(path, "/") {
	case "", pathDocument, pathAlive, pathReady:
		return true
	}
	return false
}

// identify finds out who asks.
func (a *api) identify(c *call, requestID string) error {
	policy := a.opts.Policy.Current()
	var who auth.Identity
	if !isOpen(c.path) {
		var err error
		if who, err = a.opts.Auth.Authenticate(c.ctx, c.header); err != nil {
			return err
		}
	}
	c.judge = judge{policy, policy.For(who)}
	c.caller = callerOf(who, c.judge.Judge, requestID)
	return nil
}

// base is the scheme and host that links begin with (api.md section 1.1).
func (a *api) base(r *http.Request) string {
	if a.opts.LinkPrefix != "" {
		return strings.TrimRight(a.opts.LinkPrefix, "/")
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	if p := r.Header.Get("X-Forwarded-Proto"); p == "http" || p == "https" {
		scheme = p
	}
	return scheme + "://" + r.Host
}

// route finds what answers the request.
func (a *api) route(c *call) (*reply, error) {
	parts, err := wire.Segments(c.path, tagsMember)
	if err != nil {
		return nil, err
	}
	switch {
	case len(parts) == 0:
		return a.versions(c)
	case isOpen(c.path):
		return a.open(c)
	case parts[0] != "v2.0":
		return nil, noResource()
	case len(parts) == 1:
		return a.roots(c)
	case parts[1] == "extensions":
		return a.showExtensions(c, parts[2:])
	case parts[1] == "quotas":
		return a.quotas(c, parts[2:])
	}
	return a.resource(c, parts[1:])
}

// resource answers for what is at or below a collection.
func (a *api) resource(c *call, parts []string) (*reply, error) {
	res, rest := a.find(parts)
	switch {
	case res == nil:
		return nil, noResource()
	case len(rest) == 0:
		return res.collection(c)
	case len(rest) == 1:
		return res.item(c, neutrino.ID(rest[0]))
	}
	if p, ok := res.(parent); ok {
		return p.below(c, neutrino.ID(rest[0]), rest[1:])
	}
	return nil, noResource()
}

// find is the resource whose path the parts of a request's path begin with, of
// one segment or of two, and the parts that follow.
func (a *api) find(parts []string) (resource, []string) {
	if res := a.resources[dashed(parts[0])]; res != nil {
		return res, parts[1:]
	}
	if len(parts) == 1 {
		return nil, nil
	}
	return a.resources[dashed(parts[0]+"/"+parts[1])], parts[2:]
}

// dashed is the one spelling of a collection by which it is found: as Neutron does,
// both floatingip_pools and floatingip-pools are answered, whichever of them the
// reference has (api.md section 1.2).
func dashed(collection string) string { return strings.ReplaceAll(collection, "_", "-") }
