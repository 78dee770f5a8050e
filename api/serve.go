package api

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"neutrino"
	"neutrino/api/bounds"
	"neutrino/api/conns"
	"neutrino/api/wire"
	"neutrino/auth"
)

// headerRequestID carries the request's name, in and out (api.md section 1.4).
const headerRequestID = "X-Openstack-Request-Id"

// reply is an answer before it is written. All of a short one is there before the
// first byte goes out, so that a failure half-way still has its own status.
type reply struct {
	status int
	body   []byte // nil is none
	// stream, in place of a body, writes a long one piece by piece. Where it fails the
	// connection ends, so that nobody takes a part for all.
	stream func(io.Writer) error
	allow  string // of a 405
	// challenge is the WWW-Authenticate of a 401.
	challenge string
	retry     time.Duration // after which to ask again; 0 says nothing
}

// ServeHTTP answers one request, whatever happens on the way.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := &call{
		api: a, id: newRequestID(), source: conns.Source(r.RemoteAddr), method: r.Method, header: r.Header,
		base: a.base(r), path: r.URL.EscapedPath(),
	}
	c.ctx = auth.From(r.Context(), c.source)
	defer func() { c.work.Close() }()
	rep := a.answer(w, r, c)
	h := w.Header()
	h.Set(headerRequestID, c.id)
	if rep.allow != "" {
		h.Set("Allow", rep.allow)
	}
	if rep.challenge != "" {
		h.Set("WWW-Authenticate", rep.challenge)
	}
	if rep.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(rep.retry.Seconds()))))
	}
	to := conns.NewWriter(w)
	err := a.send(w, to, rep, c)
	if a.opts.Observe != nil {
		a.opts.Observe(Observation{r.Method, a.resourceOf(r.URL.Path), rep.status, time.Since(start)})
	}
	c.log(slog.LevelInfo, "request",
		slog.String("request_id", c.id), slog.String("global_request_id", bounds.RequestID(r.Header.Get(headerRequestID))),
		slog.String("method", bounds.Cut(r.Method)), slog.String("uri", bounds.Cut(r.URL.RequestURI())),
		slog.Int("status", rep.status), slog.Int64("bytes", to.Sent),
		slog.Duration("duration", time.Since(start)), slog.String("client", r.RemoteAddr))
	if err != nil {
		panic(http.ErrAbortHandler) // the way to end a connection in the middle of an answer
	}
}

// send writes the answer. An error is that of a stream which has not come to its end.
func (a *api) send(w http.ResponseWriter, to *conns.Writer, rep *reply, c *call) error {
	if rep.body != nil || rep.stream != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	if rep.body != nil {
		w.Header().Set("Content-Length", strconv.Itoa(len(rep.body)))
	}
	w.WriteHeader(rep.status)
	switch {
	case c.method == http.MethodHead:
	case rep.stream != nil:
		return a.guarded(c, func() error { return rep.stream(to) })
	case rep.body != nil:
		// The client may be gone; then there is nobody to tell.
		_, _ = to.Write(rep.body)
	}
	return nil
}

// guarded makes an error of a panic.
func (a *api) guarded(c *call, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.opts.Log.Error("request failed: panic", "request_id", c.id, "panic", p, "stack", string(debug.Stack()))
			err = neutrino.Errorf(neutrino.Internal, wire.TypeInternal, "panic")
		}
	}()
	return f()
}

// log writes a line, unless the request's project or address has had too many.
func (c *call) log(level slog.Level, message string, fields ...slog.Attr) {
	meter, source := c.api.unknown, c.source
	if c.flow != "" {
		meter, source = c.api.known, c.flow
	}
	if meter.Allow(c.ctx, bounds.Cut(source)) {
		c.api.opts.Log.LogAttrs(c.ctx, level, message, fields...)
	}
}

// answer turns every outcome into a reply, also a defect of the program.
func (a *api) answer(w http.ResponseWriter, r *http.Request, c *call) (rep *reply) {
	defer func() { c.work.Leave() }()
	err := a.guarded(c, func() (err error) {
		if err = c.read(w, r); err == nil {
			rep, err = a.route(c)
		}
		return err
	})
	if err == nil {
		return rep
	}
	if r.Context().Err() != nil {
		// The client has gone, or the server ends: no failure of the program.
		return errorReply(neutrino.Errorf(neutrino.Unavailable, "ServiceUnavailable", "The request was cancelled."))
	}
	rep = errorReply(err)
	var notAllowed *methodError
	var unknown *auth.Unauthorized
	switch {
	case errors.As(err, &notAllowed):
		rep = errorReply(&notAllowed.httpError)
		rep.allow = notAllowed.allow
	case errors.As(err, &unknown):
		c.log(slog.LevelInfo, "caller refused", slog.String("request_id", c.id), slog.String("reason", bounds.Cut(unknown.Reason)))
		rep = unauthorized(unknown)
	}
	if rep.status >= http.StatusInternalServerError {
		c.log(slog.LevelError, "request failed", slog.String("request_id", c.id), slog.Int("status", rep.status), slog.String("error", bounds.Cut(err.Error())))
	}
	return rep
}

// newRequestID names a request: req-<uuid4>.
func newRequestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return "req-" + string(neutrino.NewID(b))
}

// methodError is the 405, which must name what is allowed (RFC 9110, 15.5.6).
type methodError struct {
	httpError
	allow string
}

func notAllowed(method string, allowed ...string) error {
	return &methodError{
		httpError: httpError{http.StatusMethodNotAllowed, typeMethodNotAllowed,
			"The method " + method + " is not allowed for this resource."},
		allow: strings.Join(allowed, ", "),
	}
}

// unauthorized is the 401, in the form of Keystone's middleware (api.md section
// 1.3). Why the proof did not hold is for the log.
func unauthorized(u *auth.Unauthorized) *reply {
	return &reply{status: http.StatusUnauthorized, challenge: u.Challenge, body: []byte(
		`{"error":{"code":401,"title":"Unauthorized","message":"The request you have made requires authentication."}}`)}
}
