package feed

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"neutrino"
)

// admit lets an agent have its host, or refuses it: then the server is as it was
// before. The host is registered before the session becomes the host's.
//
// A host that is connected stays so. Its own machine replaces it, when the
// agent was started again or its connection is half dead; no other does.
func (s *Server) admit(ctx context.Context, h *hello, ses *session) (*record, error) {
	done, err := s.reserve(ctx, h)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := s.handlers.Register(ctx, h.reg); err != nil {
		code := codes.Unavailable
		if e := (*neutrino.Error)(nil); errors.As(err, &e) && e.Code != neutrino.Internal && e.Code != neutrino.Unavailable {
			code = codes.FailedPrecondition
		}
		return nil, status.Errorf(code, "register host %s: %s", cut(h.reg.Host), cut(err.Error()))
	}
	return s.attach(h.reg.Host, ses), nil
}

// reserve waits until no other hello of the host is being admitted and checks
// that this one may be. The caller calls done.
func (s *Server) reserve(ctx context.Context, h *hello) (done func(), err error) {
	for {
		s.mu.Lock()
		before, busy := s.opening[h.reg.Host]
		if !busy {
			break
		}
		s.mu.Unlock()
		select {
		case <-before.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer s.mu.Unlock()
	if err := s.mayHave(h); err != nil {
		return nil, err
	}
	o := &opening{hello: h, done: make(chan struct{})}
	s.opening[h.reg.Host] = o
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.opening, h.reg.Host)
		close(o.done)
	}, nil
}

// opening is a hello that is being admitted.
type opening struct {
	hello *hello
	done  chan struct{}
}

// mayHave refuses a hello for a name or a tunnel address that a living host of
// another machine has. The caller holds the lock.
func (s *Server) mayHave(h *hello) error {
	if living := s.living(h.reg.Host); living != nil {
		switch {
		case living.machine == "" || living.machine != h.machine:
			return status.Errorf(codes.FailedPrecondition,
				"host %s is connected as machine %s (agent started %s); machine %s cannot have its name: set [DEFAULT] host to another, or stop the agent that has it",
				h.reg.Host, named(living.machine), living.reg.StartedAt.Format(time.DateTime), named(h.machine))
		case h.reg.StartedAt.Before(living.reg.StartedAt):
			return status.Errorf(codes.FailedPrecondition,
				"host %s is connected by an agent of this machine that was started later, at %s; stop one of the two",
				h.reg.Host, living.reg.StartedAt.Format(time.DateTime))
		}
	}
	if !h.reg.TunnelIP.IsValid() {
		return nil
	}
	for name := range s.hosts {
		if living := s.living(name); name != h.reg.Host && living != nil && living.reg.TunnelIP == h.reg.TunnelIP {
			return tunnelTaken(h, name)
		}
	}
	for name, o := range s.opening {
		if name != h.reg.Host && o.hello.reg.TunnelIP == h.reg.TunnelIP {
			return tunnelTaken(h, name)
		}
	}
	return nil
}

func tunnelTaken(h *hello, name string) error {
	return status.Errorf(codes.FailedPrecondition, "host %s has the tunnel address %s of host %s, which is connected: set [ovs] local_ip to its own",
		h.reg.Host, h.reg.TunnelIP, cut(name))
}

// living is the hello of the host's present session, nil for none.
func (s *Server) living(host string) *hello {
	r, ok := s.hosts[host]
	if !ok {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session == nil {
		return nil
	}
	return r.session.hello
}

func named(machine string) string {
	if machine == "" {
		return "(unnamed)"
	}
	return cut(machine)
}
