//! The answer to one call. Of a method that it does not have, the server itself says so without its
//! name, by which libraries tell this error from others.

use crate::public::error;
use jsonrpsee::server::middleware::rpc::{MethodResponse, Request, RpcServiceT};

/// Calls; a method that is not found is named.
pub(crate) async fn answer<S>(inner: &S, request: Request<'_>) -> MethodResponse
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Sync,
{
    let (id, method) = (request.id.clone(), request.method.clone());
    let answer = inner.call(request).await;
    if answer.as_error_code() == Some(error::METHOD_NOT_FOUND) {
        return MethodResponse::error(id, error::method_not_found(&method));
    }
    answer
}
