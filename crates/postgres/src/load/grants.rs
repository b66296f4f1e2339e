//! The roles that statements name: who gets, gives or loses privileges, and to whom a policy applies.
//!
//! Only statements that `pg_dump` writes are understood. A role is found or not; nothing is executed.

use std::collections::BTreeSet;

use super::tokens::{Token, tokens};

/// Words in the place of a role that are none.
const NO_ROLES: [&str; 4] = ["public", "current_user", "current_role", "session_user"];

/// The roles that the statements of an entry of the kind `desc` name.
pub(super) fn roles_named(desc: &str, text: &str) -> BTreeSet<String> {
    let mut roles = BTreeSet::new();
    for statement in tokens(text).split(|token| *token == Token::Symbol(';')) {
        match desc {
            "ACL" | "DEFAULT ACL" => roles_of_grant(statement, &mut roles),
            "POLICY" => roles_of_policy(statement, &mut roles),
            "USER MAPPING" => {
                if let Some(at) = statement.iter().position(|token| token.is("for")) {
                    take_roles(&statement[at + 1..], &mut roles);
                }
            }
            _ => return roles,
        }
    }
    roles
}

/// `GRANT … TO …`, `REVOKE … FROM …`, `ALTER DEFAULT PRIVILEGES FOR ROLE … GRANT … TO …`, `SET SESSION AUTHORIZATION …`.
fn roles_of_grant(statement: &[Token], roles: &mut BTreeSet<String>) {
    let mut depth = 0_usize;
    for (at, token) in statement.iter().enumerate() {
        let rest = &statement[at + 1..];
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth = depth.saturating_sub(1),
            // The arguments of a function may be called anything.
            _ if depth > 0 => {}
            _ if token.is("to") || token.is("from") || token.is("by") => take_roles(rest, roles),
            _ if token.is("for") && rest.first().is_some_and(|next| next.is("role") || next.is("user")) => {
                take_roles(&rest[1..], roles);
            }
            _ if token.is("authorization") => match rest.first() {
                Some(Token::Literal(role)) => {
                    roles.insert(role.clone());
                }
                Some(next) if next.is("default") => {}
                _ => take_roles(rest, roles),
            },
            _ => {}
        }
    }
}

/// `CREATE POLICY … ON … TO … USING (…)`: a policy that applies to all has no `TO`.
fn roles_of_policy(statement: &[Token], roles: &mut BTreeSet<String>) {
    let is_end = |token: &Token| token.is("using") || token.is("with");
    let end = statement.iter().position(is_end).unwrap_or(statement.len());
    if let Some(at) = statement[..end].iter().position(|token| token.is("to")) {
        take_roles(&statement[at + 1..end], roles);
    }
}

/// Adds the names of a list at the start of `tokens`.
fn take_roles(tokens: &[Token], roles: &mut BTreeSet<String>) {
    for item in tokens.split(|token| *token == Token::Symbol(',')) {
        match item {
            [Token::Word(word), ..] if NO_ROLES.contains(&word.as_str()) => {}
            [first, ..] => {
                let Some(name) = first.name() else { return };
                roles.insert(name.to_owned());
            }
            [] => return,
        }
        // Whatever follows a name but a comma ends the list.
        if item.len() > 1 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(desc: &str, text: &str) -> Vec<String> {
        roles_named(desc, text).into_iter().collect()
    }

    #[test]
    fn grantees_and_grantors_are_found() {
        assert_eq!(
            roles(
                "ACL",
                "REVOKE SELECT,INSERT ON TABLE ledger.entry FROM fixture_owner;\n\
                 GRANT SELECT(\"to\", b) ON TABLE \"FROM\".\"x TO nobody\" TO fixture_owner WITH GRANT OPTION;\n\
                 SET SESSION AUTHORIZATION \"the chief\";\n\
                 GRANT ALL ON FUNCTION public.f(\"to\" integer, b timestamp without time zone) TO \"fixture \"\"reader\"\"\";\n\
                 RESET SESSION AUTHORIZATION;\n\
                 GRANT SELECT ON TABLE a.b TO PUBLIC;\n\
                 GRANT SELECT ON TABLE a.b TO x GRANTED BY y;\n"
            ),
            ["fixture \"reader\"", "fixture_owner", "the chief", "x", "y"]
        );
    }

    #[test]
    fn default_privileges_name_whose_and_for_whom() {
        assert_eq!(
            roles(
                "DEFAULT ACL",
                "ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA to_do REVOKE ALL ON TABLES FROM PUBLIC;\n\
                 ALTER DEFAULT PRIVILEGES FOR ROLE \"B\" GRANT SELECT ON TABLES TO c;\n"
            ),
            ["B", "a", "c"]
        );
    }

    #[test]
    fn a_role_named_like_a_keyword_in_quotes_is_a_role() {
        assert_eq!(roles("ACL", "GRANT USAGE ON SCHEMA s TO \"public\";"), ["public"]);
    }

    #[test]
    fn policies_name_roles_only_before_their_condition() {
        assert_eq!(
            roles(
                "POLICY",
                "CREATE POLICY p ON s.t AS RESTRICTIVE FOR SELECT TO a, \"b c\" USING ((x = 'TO d'::text));\n"
            ),
            ["a", "b c"]
        );
        assert!(
            roles("POLICY", "CREATE POLICY p ON s.t USING ((CURRENT_USER = owner) AND to_be);\n").is_empty()
        );
        assert!(roles("POLICY", "CREATE POLICY p ON s.t FOR INSERT WITH CHECK (true);\n").is_empty());
    }

    #[test]
    fn user_mappings_name_their_user() {
        let text = "CREATE USER MAPPING FOR \"a b\" SERVER far OPTIONS (\n    \"user\" 'x'\n);\n";
        assert_eq!(roles("USER MAPPING", text), ["a b"]);
        assert!(roles("USER MAPPING", "CREATE USER MAPPING FOR PUBLIC SERVER far;\n").is_empty());
    }

    #[test]
    fn other_entries_name_nobody() {
        assert!(roles("TABLE", "CREATE TABLE a (b text DEFAULT 'GRANT x TO y');").is_empty());
    }
}
