package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"neutrino"
	"neutrino/feed/feedpb"
	"neutrino/strictjson"
	"neutrino/view"
)

// The bounds of what a peer may send and cost before its hello is accepted.
const (
	// maxRegistration is in bytes. A registration has some hundred.
	maxRegistration = 64 << 10
	// maxID bounds the texts of a hello that are no registration, in bytes.
	maxID = 256
	// helloTime is how long the first message of a stream may take to come.
	helloTime = 5 * time.Second
	// maxListening is how many first messages are read at once, each of which may
	// take as much memory as grpc lets a message have, and maxPerSource how many of
	// them from one address. maxWaiting is how many streams may wait for that.
	maxListening = 8
	maxPerSource = maxListening / 2
	maxWaiting   = 1024
	// maxReason bounds the text of a refusal, on the wire and in the log.
	maxReason = 512
)

// hello is a first message that could be read.
type hello struct {
	reg     neutrino.Registration
	machine string // "" for an agent that does not say
	held    held
	version string
	kinds   []*feedpb.Kind
}

// reception lets in a bounded number of streams that have not said a hello.
type reception struct {
	time time.Duration // helloTime
	room chan struct{} // a token for each first message that is read

	mu      sync.Mutex
	waiting int
	sources map[string]*source
}

// source is an address that streams without a hello come from.
type source struct {
	room  chan struct{}
	users int
}

func newReception() *reception {
	return &reception{time: helloTime, room: make(chan struct{}, maxListening), sources: map[string]*source{}}
}

// enter waits for room, for one peer in its source's share and in the whole. The
// caller calls leave when the error is nil.
func (r *reception) enter(ctx context.Context, from string) (leave func(), err error) {
	src, err := r.wait(from)
	if err != nil {
		return nil, err
	}
	defer r.waited()
	forget := func() { r.forget(from) }
	if err := take(ctx, src.room); err != nil {
		forget()
		return nil, err
	}
	if err := take(ctx, r.room); err != nil {
		<-src.room
		forget()
		return nil, err
	}
	return func() { <-r.room; <-src.room; forget() }, nil
}

func take(ctx context.Context, room chan struct{}) error {
	select {
	case room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return status.Error(codes.Unavailable, "too many streams have not said their hello; try again later")
	}
}

func (r *reception) wait(from string) (*source, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting >= maxWaiting {
		return nil, status.Error(codes.Unavailable, "too many streams wait to say their hello; try again later")
	}
	r.waiting++
	src := r.sources[from]
	if src == nil {
		src = &source{room: make(chan struct{}, maxPerSource)}
		r.sources[from] = src
	}
	src.users++
	return src, nil
}

func (r *reception) waited() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
}

func (r *reception) forget(from string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if src := r.sources[from]; src.users > 1 {
		src.users--
	} else {
		delete(r.sources, from)
	}
}

// listen reads the first message of a stream, in bounded time and memory.
func (r *reception) listen(stream feedpb.Feed_FollowServer) (*hello, error) {
	ctx, cancel := context.WithTimeout(stream.Context(), r.time)
	defer cancel()
	leave, err := r.enter(ctx, sourceOf(stream.Context()))
	if err != nil {
		return nil, err
	}
	type result struct {
		hello *hello
		err   error
	}
	read := make(chan result, 1)
	go func() { // Recv ends when the stream's handler returns
		defer leave()
		m, err := stream.Recv()
		if err != nil {
			read <- result{nil, err}
			return
		}
		h, err := parseHello(m.GetHello())
		read <- result{h, err}
	}()
	select {
	case got := <-read:
		return got.hello, got.err
	case <-ctx.Done():
		return nil, status.Errorf(codes.DeadlineExceeded, "no hello came within %v", r.time)
	}
}

// parseHello refuses what is not a hello of a program of this generation.
func parseHello(m *feedpb.Hello) (*hello, error) {
	refuse := func(format string, args ...any) (*hello, error) {
		return nil, status.Error(codes.InvalidArgument, cut(fmt.Sprintf(format, args...)))
	}
	text := m.GetRegistration()
	switch {
	case m == nil || len(text) == 0:
		return refuse("a stream begins with a hello that has the host's registration")
	case len(text) > maxRegistration:
		return refuse("the registration has %d bytes, more than %d", len(text), maxRegistration)
	case !utf8.Valid(text):
		return refuse("the registration is not UTF-8")
	case len(m.GetMachine()) > maxID || len(m.GetVersion()) > maxID || len(m.GetStore()) > maxID || len(m.GetLife().GetId()) > maxID || len(m.GetDigest()) > maxID:
		return refuse("a text of the hello has more than %d bytes", maxID)
	}
	h := &hello{machine: m.GetMachine(), version: m.GetVersion(), held: held{m.GetRevision(), m.GetDigest(), heldBy(m)}}
	if size := kindsSize(m.GetKinds()); size > maxRegistration {
		return refuse("the kinds of the hello have %d bytes, more than %d", size, maxRegistration)
	}
	h.kinds = m.GetKinds()
	var unknown *strictjson.UnknownError
	switch err := strictjson.Unmarshal(text, &h.reg); {
	case errors.As(err, &unknown):
		return refuse("registration of host %q: %v (the agent is newer than the server: upgrade the server first)", h.reg.Host, err)
	case err != nil:
		return refuse("the registration cannot be read: %v", err)
	case h.reg.Host == "":
		return refuse("the registration names no host")
	case len(h.reg.Host) > maxID:
		return refuse("the host's name has %d bytes, more than %d", len(h.reg.Host), maxID)
	}
	h.reg.Version, h.reg.Lacks = h.version, h.lacks()
	return h, nil
}

func kindsSize(kinds []*feedpb.Kind) int {
	n := 0
	for _, k := range kinds {
		n += len(k.GetName())
		for _, a := range k.GetAttributes() {
			n += len(a)
		}
	}
	return n
}

// known are the kinds of rows and their attributes that this program knows.
func known() []*feedpb.Kind {
	var out []*feedpb.Kind
	for _, k := range view.Kinds() {
		out = append(out, &feedpb.Kind{Name: k.Name, Attributes: k.Attributes})
	}
	return out
}

func fromKinds(kinds []*feedpb.Kind) []view.Kind {
	var out []view.Kind
	for _, k := range kinds {
		out = append(out, view.Kind{Name: k.GetName(), Attributes: k.GetAttributes()})
	}
	return out
}

// lacks are the attributes of rows that an agent does not know and this program
// does. An agent that does not say what it knows is of the generation before
// any attribute was added.
func (h *hello) lacks() []string {
	if len(h.kinds) == 0 {
		return nil
	}
	return view.Lacks(view.Kinds(), fromKinds(h.kinds))
}

// cut bounds a text that a peer has a part in, for the wire and the log.
func cut(text string) string {
	if len(text) <= maxReason {
		return text
	}
	return strings.ToValidUTF8(text[:maxReason], "") + "…"
}

// sourceOf is where a stream comes from: an IP address, or "local" for a unix
// socket.
func sourceOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		if host, _, err := net.SplitHostPort(p.Addr.String()); err == nil {
			return host
		}
	}
	return "local"
}

// refusals logs refused streams: a line for each source in each interval, with
// the number of those that it stands for.
type refusals struct {
	mu      sync.Mutex
	sources map[string]*refused
}

type refused struct {
	next   time.Time
	silent int
}

const (
	refusalInterval = 10 * time.Second
	maxRefused      = 256 // sources that are remembered
)

func (r *refusals) log(from string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.sources == nil {
		r.sources = map[string]*refused{}
	}
	src := r.sources[from]
	if src == nil {
		for name, old := range r.sources {
			if len(r.sources) >= maxRefused && now.After(old.next) {
				delete(r.sources, name)
			}
		}
		if len(r.sources) >= maxRefused {
			from = "many sources"
		}
		if src = r.sources[from]; src == nil {
			src = &refused{}
			r.sources[from] = src
		}
	}
	if now.Before(src.next) {
		src.silent++
		return
	}
	st := status.Convert(err)
	slog.Warn("feed: agent refused", "from", from, "code", st.Code().String(), "reason", cut(st.Message()), "not_logged", src.silent)
	src.next, src.silent = now.Add(refusalInterval), 0
}
