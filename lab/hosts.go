package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// UpHosts brings up the hosts alone, each with its Open vSwitch and its agent,
// for the server whose feed listens at [Settings.Feed]. It makes nothing
// through the API and does not wait for the agents: the caller, who has the
// server, sees them there. What an earlier lab left in the directory is taken
// down first; when a step fails, or the context ends, all that was made is.
func (l *Lab) UpHosts(ctx context.Context) error {
	if l.Feed == "" {
		return errors.New("lab: hosts alone need the feed of a server: set Settings.Feed")
	}
	if err := l.checkRequirements(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.Dir), 0o755); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if l.snapshot().ID != "" {
		if err := l.tearDown(ctx); err != nil {
			return err
		}
	}
	if err := l.buildHosts(ctx); err != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTime)
		defer cancel()
		return errors.Join(err, l.tearDown(last))
	}
	return l.record(ctx, func(st *state) { st.Complete = true })
}

func (l *Lab) buildHosts(ctx context.Context) error {
	if err := l.checkBinary(ctx); err != nil {
		return err
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	if err := l.makeHosts(ctx); err != nil {
		return err
	}
	return l.startHosts(ctx)
}

// startHosts starts what runs on each host: the server, an agent, or the
// outside's web server.
func (l *Lab) startHosts(ctx context.Context) error {
	for _, h := range l.Hosts() {
		start := h.startAgent
		switch h.Role {
		case RoleController:
			start = h.startServer
		case RoleOutside:
			start = h.open
		}
		if err := start(ctx); err != nil {
			return err
		}
	}
	return nil
}
