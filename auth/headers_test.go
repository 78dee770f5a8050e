package auth

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// headers makes a header of names and values.
func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestNoAuthBelievesTheHeaders(t *testing.T) {
	all := []string{"admin", "manager", "member", "reader"}
	for _, c := range []struct {
		headers []string
		want    Identity
	}{
		{nil, Identity{ProjectID: "default", Roles: all}},
		{[]string{"X-Project-Id", " blue ", "X-User-Id", "u"}, Identity{ProjectID: "blue", UserID: "u", Roles: all}},
		{[]string{"X-Tenant-Id", "blue"}, Identity{ProjectID: "blue", Roles: all}},
		{[]string{"X-Project-Id", "blue", "X-Tenant-Id", "red", "X-Roles", "member"},
			Identity{ProjectID: "blue", Roles: []string{"member", "reader"}}},
		{[]string{"X-Roles", "member, ADMIN"}, Identity{ProjectID: "default", Roles: []string{"member", "reader", "admin", "manager"}}},
		{[]string{"X-Roles", "Manager", "X-Roles", "service"},
			Identity{ProjectID: "default", Roles: []string{"manager", "member", "reader", "service"}}},
		{[]string{"X-Roles", "", "X-Service-Roles", "Service, admin"}, Identity{ProjectID: "default", ServiceRoles: []string{"service", "admin"}}},
	} {
		got, err := NoAuth("default").Authenticate(t.Context(), headers(c.headers...))
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.headers, diff)
		}
	}
}
