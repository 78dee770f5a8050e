package auth

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// NoAuth believes what the headers say: X-Project-Id (or X-Tenant-Id), X-User-Id,
// X-Roles and X-Service-Roles, the names that follow authentication in other
// services (api.md section 1.4). Without a project the caller is of
// defaultProject; without the header X-Roles the caller is an administrator. It is
// for servers that only trusted programs reach.
func NoAuth(defaultProject string) Authenticator { return noAuth{defaultProject} }

type noAuth struct{ project string }

// Authenticate never fails.
func (n noAuth) Authenticate(_ context.Context, h http.Header) (Identity, error) {
	project := strings.TrimSpace(h.Get("X-Project-Id"))
	if project == "" {
		project = strings.TrimSpace(h.Get("X-Tenant-Id"))
	}
	if project == "" {
		project = n.project
	}
	who := Identity{ProjectID: project, UserID: h.Get("X-User-Id"), ServiceRoles: rolesIn(h.Values("X-Service-Roles"))}
	roles := h.Values("X-Roles")
	if len(roles) == 0 {
		who.Roles = Implied([]string{"admin"})
	} else {
		who.Roles = Implied(rolesIn(roles))
	}
	return who, nil
}

// rolesIn are the names in comma-separated headers, in lower case.
func rolesIn(values []string) []string {
	var out []string
	for role := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if role = strings.ToLower(strings.TrimSpace(role)); role != "" {
			out = append(out, role)
		}
	}
	return out
}

// Implied are the roles with those that they hold, in lower case and each once:
// admin holds manager, manager member, and member reader, as Keystone sets it up.
// A Keystone token already lists them.
func Implied(roles []string) []string {
	ladder := []string{"admin", "manager", "member", "reader"}
	var out []string
	add := func(role string) {
		if !slices.Contains(out, role) {
			out = append(out, role)
		}
	}
	for _, role := range roles {
		role = strings.ToLower(role)
		add(role)
		if i := slices.Index(ladder, role); i >= 0 {
			for _, held := range ladder[i+1:] {
				add(held)
			}
		}
	}
	return out
}
