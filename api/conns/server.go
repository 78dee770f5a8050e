package conns

import (
	"context"
	"net"
	"net/http"
	"time"
)

// The bounds of a connection: a client that sends or reads more slowly loses it, and
// one that sends a longer header gets a 431. A body and an answer have deadlines by
// their progress ([Deadline]).
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 2 * time.Minute
	idleTimeout       = 2 * time.Minute
	maxHeader         = 32 << 10
)

// Server wraps the handler in a server with deadlines against slow clients.
// The requests' contexts come from ctx.
func Server(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
}
