package api

import (
	"context"
	"net/http"
	"testing"

	"neutrino/api/wire"
	"neutrino/auth"
	"neutrino/store/engine/sqlite"
)

// known is an authenticator to whom everybody is the same.
type known auth.Identity

func (k known) Authenticate(context.Context, http.Header) (auth.Identity, error) {
	return auth.Identity(k), nil
}

// A token of the whole system, or of a domain, is of no project.
func TestATokenOfNoProjectMakesNothingThatIsNobodys(t *testing.T) {
	system := openCloud(t, sqlite.Options{Path: sqlite.Memory}, Options{Auth: known{UserID: "u", System: true, Roles: []string{"admin", "member", "reader"}}})
	system.do("POST", "/v2.0/networks", `{"network":{}}`).fails(400, wire.TypeBadRequest, "specify project_id")
	n := system.post("/v2.0/networks", `{"network":{"project_id":"blue"}}`)
	if n["project_id"] != "blue" {
		t.Errorf("made %v", n)
	}
	if got := system.get("/v2.0/networks").list("networks"); len(got) != 1 {
		t.Errorf("the administrator of the system sees %v", got)
	}
	if got := system.get("/v2.0/security-groups?project_id=").list("security_groups"); len(got) != 0 {
		t.Errorf("nobody has the groups %v", got)
	}
	for _, who := range []known{
		{UserID: "u", System: true, Roles: []string{"reader"}},
		{UserID: "u", DomainID: "d", Roles: []string{"manager", "member", "reader"}},
	} {
		c := openCloud(t, sqlite.Options{Path: sqlite.Memory}, Options{Auth: who})
		c.do("POST", "/v2.0/networks", `{"network":{}}`).want(400)
		c.do("POST", "/v2.0/networks", `{"network":{"project_id":"blue"}}`).fails(400, wire.TypeBadRequest, "requires admin privileges")
		for _, many := range []string{"networks", "ports", "routers", "security_groups"} {
			if got := c.get("/v2.0/" + many).list(many); len(got) != 0 {
				t.Errorf("%+v sees %v", who, got)
			}
		}
	}
}
