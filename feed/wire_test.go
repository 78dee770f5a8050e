package feed

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"neutrino/feed/feedpb"
)

func dial(t *testing.T, addr string) *grpc.ClientConn {
	conn, err := grpc.NewClient(target(addr), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// serveRaw runs a server of the test's own making.
func serveRaw(t *testing.T, addr string, s feedpb.FeedServer) {
	ln, err := Listen(t.Context(), addr, Local)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	feedpb.RegisterFeedServer(g, s)
	done := make(chan struct{})
	go func() { defer close(done); g.Serve(ln) }()
	t.Cleanup(func() { g.Stop(); <-done })
}
