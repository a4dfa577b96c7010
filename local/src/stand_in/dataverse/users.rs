//! What the environment says of its users beside their columns: their roles, their business unit, and what
//! they may do.
//!
//! There is one user of whom it can say that, the application's.

use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{
    Inner, SERVICE_ROOT, USER,
    error::{Refusal, refuse},
    metadata, query,
    request::{self, Preferences},
    schema::{Table, Tables},
};

/// The answer to a request about a user; none when the request is no such one.
pub(super) fn answer(inner: &Inner, path: &str, query: &str) -> Option<Result<Json, Refusal>> {
    let rest = path.strip_prefix("systemusers(")?;
    let (id, below) = rest.split_once(')')?;
    let decoded = percent_decode_str(query).decode_utf8_lossy();
    match below {
        "/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()" => Some(privileges(inner, id)),
        "" if decoded.contains("$expand=") => Some(user(inner, id, &decoded)),
        _ => None,
    }
}

/// <https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/retrieveuserprivileges>
fn privileges(inner: &Inner, id: &str) -> Result<Json, Refusal> {
    only_the_applications(id)?;
    let all = metadata::all_privileges(&inner.tables).into_iter();
    let missing = inner.missing_privilege.as_deref();
    let held = all.filter(|privilege| privilege["Name"].as_str() != missing);
    let held = held.map(|privilege| {
        json!({
            "Depth": "Global",
            "PrivilegeId": privilege["PrivilegeId"],
            "PrivilegeName": privilege["Name"],
            "BusinessUnitId": "00000000-0000-4000-8000-000000000004",
        })
    });
    Ok(json!({
        "@odata.context": format!("{}{SERVICE_ROOT}$metadata#Microsoft.Dynamics.CRM.RetrieveUserPrivilegesResponse", inner.origin),
        "RolePrivileges": held.collect::<Vec<_>>(),
    }))
}

/// A user with its roles and its business unit.
fn user(inner: &Inner, id: &str, query: &str) -> Result<Json, Refusal> {
    only_the_applications(id)?;
    let is_expand = |option: &&str| option.starts_with("$expand=");
    let (expand, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(is_expand);
    let table = Table::of("systemusers", &Tables::default()).expect("it is known");
    if inner.missing_privilege.as_deref() == Some("prvReadUser") {
        let message = format!(
            "Principal user (Id={USER}, type=8, roleCount=1) is missing prvReadUser privilege on OTC=8 for entity 'systemuser'."
        );
        return refuse(403, "0x80040220", message);
    }
    let options = request::read_options(&others.join("&"))?;
    let id = Uuid::try_parse(USER).expect("it is a GUID");
    let record = inner.records.get(&table, id);
    let record = record.expect("the application has a user");
    let mut told = query::read(&table, record, &options, &Preferences::default())?;
    for expand in expand {
        for part in expand["$expand=".len()..].split(',') {
            match part {
                "systemuserroles_association($select=name)" => {
                    let roles = inner.roles.iter();
                    let roles = roles.map(|name| json!({"name": name})).collect();
                    told["systemuserroles_association"] = Json::Array(roles);
                }
                "businessunitid($select=name)" => {
                    told["businessunitid"] = json!({"name": "example"});
                }
                _ => return Err(Refusal::not_modelled("this $expand of a user")),
            }
        }
    }
    Ok(told)
}

fn only_the_applications(id: &str) -> Result<(), Refusal> {
    if id.eq_ignore_ascii_case(USER) {
        return Ok(());
    }
    Err(Refusal::not_modelled(
        "roles and privileges of another user than the application's",
    ))
}
