package metadata

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// handler finds out who asks and lets the answer be made.
type handler struct {
	options  Options
	rates    *rates
	refusals *refusals
	changed  func() // the findings have
	answer   func(w http.ResponseWriter, r *http.Request, i Instance)
	// warned is when the log last heard of Nova, by what it heard.
	mu     sync.Mutex
	warned map[string]time.Time
}

func newHandler(o Options, changed func()) (own *handler, closeHandler func()) {
	own = &handler{options: o, refusals: &refusals{}, changed: changed, rates: newRates(o.Limits.Base, o.Limits.Burst), warned: map[string]time.Time{}}
	if o.Nova == nil {
		own.answer = alone{newTokens(o.TokenKey)}.answer
		return own, func() {}
	}
	proxy := newProxy(*o.Nova, own.warn)
	own.answer = proxy.forward
	return own, proxy.close
}

// ServeHTTP answers 404 to everybody who is not exactly one known instance.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	s := c.source
	if s.own {
		_, _ = h.options.Lookup(Asker{Scope: s.scope, Client: s.client}) // that it answers is what counts
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if !h.rates.allow(s, time.Now()) {
		refuse(w, http.StatusTooManyRequests)
		return
	}
	// An absolute form or an asterisk names no path of ours.
	if !strings.HasPrefix(r.URL.Path, "/") {
		refuse(w, http.StatusBadRequest)
		return
	}
	i, err := h.find(c)
	if err != nil {
		h.reject(s, err)
		refuse(w, http.StatusNotFound)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, h.options.Limits.BodyBytes)
	h.answer(w, r, i)
}

// find asks for the MAC with each request: a connection can outlive who began it.
func (h *handler) find(c *conn) (Instance, error) {
	mac, err := c.listener.resolver.mac(c.source.client)
	if err != nil {
		h.warn("the neighbour of a request is unknown", "scope", c.source.scope, "client", c.source.client, "error", err)
	}
	return h.options.Lookup(Asker{Scope: c.source.scope, Client: c.source.client, MAC: mac})
}

func refuse(w http.ResponseWriter, code int) { http.Error(w, http.StatusText(code), code) }

// warnPeriod is how often the log hears of one trouble.
const warnPeriod = time.Minute

func (h *handler) warn(what string, attrs ...any) {
	h.mu.Lock()
	now := time.Now()
	quiet := now.Sub(h.warned[what]) < warnPeriod
	if !quiet {
		h.warned[what] = now
	}
	h.mu.Unlock()
	level := slog.LevelWarn
	if quiet {
		level = slog.LevelDebug
	}
	h.options.Logger.Log(context.Background(), level, "metadata: "+what, attrs...)
}

// rates bound how often one address may ask: a bucket of requests for each
// window, refilled evenly.
type rates struct {
	limits [2]Rate

	mu      sync.Mutex
	buckets map[source]*buckets
	swept   time.Time
}

type buckets struct {
	left [2]float64
	last time.Time
}

func newRates(base, burst Rate) *rates {
	return &rates{limits: [2]Rate{base, burst}, buckets: map[source]*buckets{}}
}

func (r Rate) off() bool { return r.Requests <= 0 || r.Window <= 0 }

func (r *rates) allow(s source, now time.Time) bool {
	if r.limits[0].off() && r.limits[1].off() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(now)
	b := r.buckets[s]
	if b == nil {
		b = &buckets{last: now}
		for n, l := range r.limits {
			b.left[n] = float64(l.Requests)
		}
		r.buckets[s] = b
	}
	passed := now.Sub(b.last).Seconds()
	b.last = now
	ok := true
	for n, l := range r.limits {
		if !l.off() {
			b.left[n] = min(float64(l.Requests), b.left[n]+passed*float64(l.Requests)/l.Window.Seconds())
			ok = ok && b.left[n] >= 1
		}
	}
	if ok {
		for n := range b.left {
			b.left[n]--
		}
	}
	return ok
}

// sweep forgets addresses whose buckets are full again.
func (r *rates) sweep(now time.Time) {
	window := max(r.limits[0].Window, r.limits[1].Window)
	if now.Sub(r.swept) < window {
		return
	}
	r.swept = now
	for s, b := range r.buckets {
		if now.Sub(b.last) >= window {
			delete(r.buckets, s)
		}
	}
}
