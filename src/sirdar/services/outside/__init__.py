"""Users from outside: who an OpenID Connect provider or an LDAP directory says that somebody is, and the account made of it."""
