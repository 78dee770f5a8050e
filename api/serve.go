package api

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"neutrino"
	"neutrino/intent"
)

// headerRequestID carries the request's name, in and out (api.md section 1.4).
const headerRequestID = "X-Openstack-Request-Id"

// reply is an answer before it is written: all of it is there before the first
// byte goes out, so that a failure half-way still has its own status.
type reply struct {
	status int
	body   []byte // nil is none
	allow  string // of a 405
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
		rep = errorReply(neutrino.Errorf(neutrino.Internal, typeInternal, "panic"))
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
	if errors.As(err, &refused) {
		rep = errorReply(&refused.httpError)
		rep.allow = refused.allow
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
	return badRequest("The request body could not be read")
}

// defaultProject owns what a caller without a project makes.
const defaultProject = "default"

// noauth believes the headers: the project that they name, and admin rights
// unless roles are named that lack admin.
func noauth(h http.Header, requestID string) intent.Caller {
	project := strings.TrimSpace(h.Get("X-Project-Id"))
	if project == "" {
		project = strings.TrimSpace(h.Get("X-Tenant-Id"))
	}
	if project == "" {
		project = defaultProject
	}
	c := intent.Caller{ProjectID: project, UserID: h.Get("X-User-Id"), RequestID: requestID}
	values := h.Values("X-Roles")
	for role := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if role = strings.TrimSpace(role); role != "" {
			c.Roles = append(c.Roles, role)
		}
	}
	c.Admin = len(values) == 0 || slices.ContainsFunc(c.Roles, func(role string) bool {
		return strings.EqualFold(role, "admin")
	})
	return c
}
