package api

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/auth"
)

// headerRequestID carries the request's name, in and out (api.md section 1.4).
const headerRequestID = "X-Openstack-Request-Id"

// reply is an answer before it is written: all of it is there before the first
// byte goes out, so that a failure half-way still has its own status.
type reply struct {
	status int
	body   []byte // nil is none
	allow  string // of a 405
	// challenge is the WWW-Authenticate of a 401.
	challenge string
}

// ServeHTTP answers one request, whatever happens on the way.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	id := newRequestID()
	rep := a.answer(w, r, id)
	h := w.Header()
	h.Set(headerRequestID, id)
	if rep.allow != "" {
		h.Set("Allow", rep.allow)
	}
	if rep.challenge != "" {
		h.Set("WWW-Authenticate", rep.challenge)
	}
	if rep.body != nil {
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(rep.body)))
	}
	w.WriteHeader(rep.status)
	n := 0
	if rep.body != nil && r.Method != http.MethodHead {
		// The client may be gone; then there is nobody to tell.
		n, _ = w.Write(rep.body)
	}
	if a.opts.Observe != nil {
		a.opts.Observe(Observation{r.Method, a.resourceOf(r.URL.Path), rep.status, time.Since(start)})
	}
	a.opts.Log.LogAttrs(r.Context(), slog.LevelInfo, "request",
		slog.String("request_id", id), slog.String("global_request_id", r.Header.Get(headerRequestID)),
		slog.String("method", r.Method), slog.String("uri", r.URL.RequestURI()),
		slog.Int("status", rep.status), slog.Int("bytes", n),
		slog.Duration("duration", time.Since(start)), slog.String("client", r.RemoteAddr))
}

// answer turns every outcome into a reply, also a defect of the program.
func (a *api) answer(w http.ResponseWriter, r *http.Request, id string) (rep *reply) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		a.opts.Log.Error("request failed: panic", "request_id", id, "panic", p, "stack", string(debug.Stack()))
		rep = errorReply(neutrino.Errorf(neutrino.Internal, wire.TypeInternal, "panic"))
	}()
	c, err := a.newCall(w, r, id)
	if err == nil {
		rep, err = a.route(c)
	}
	if err == nil {
		return rep
	}
	if r.Context().Err() != nil {
		// The client has gone, or the server ends: no failure of the program.
		return errorReply(neutrino.Errorf(neutrino.Unavailable, "ServiceUnavailable", "The request was cancelled."))
	}
	rep = errorReply(err)
	var refused *methodError
	var unknown *auth.Unauthorized
	switch {
	case errors.As(err, &refused):
		rep = errorReply(&refused.httpError)
		rep.allow = refused.allow
	case errors.As(err, &unknown):
		a.opts.Log.Info("caller refused", "request_id", id, "reason", unknown.Reason)
		rep = unauthorized(unknown)
	}
	if rep.status >= http.StatusInternalServerError {
		a.opts.Log.Error("request failed", "request_id", id, "status", rep.status, "error", err)
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

func bodyError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &httpError{http.StatusRequestEntityTooLarge, typeTooLarge,
			"Request is too large: the limit is " + strconv.FormatInt(large.Limit, 10) + " bytes."}
	}
	return wire.BadRequest("The request body could not be read")
}

// unauthorized is the 401, in the form of Keystone's middleware (api.md section
// 1.3). Why the proof did not hold is for the log.
func unauthorized(u *auth.Unauthorized) *reply {
	return &reply{status: http.StatusUnauthorized, challenge: u.Challenge, body: []byte(
		`{"error":{"code":401,"title":"Unauthorized","message":"The request you have made requires authentication."}}`)}
}
