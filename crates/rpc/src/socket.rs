//! Accepting connections: a bounded number of them, none of which may be idle for long.
//!
//! | job | started when | gives | awaited where |
//! | --- | --- | --- | --- |
//! | accepting | at the start of a server | connections | at its stop |
//! | a connection | accepted | answers | at the end of the accepting |
//! | a WebSocket | upgraded, by jsonrpsee | answers | at the stop of the server |

use crate::{
    flow::{Flow, FlowLimits},
    sent::Messages,
};
use jsonrpsee::server::StopHandle;
use std::{
    future::Future,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, Sleep, sleep_until},
};

/// After a connection could not be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketLimits {
    /// Sockets at a time; others wait at the system.
    pub(crate) sockets_max: usize,
    /// How long a socket may neither be read nor written.
    pub(crate) idle_max: Duration,
    /// How long the head of a request may take, from its first byte on.
    pub(crate) request_time_max: Duration,
    /// Bytes of a message of a WebSocket.
    pub(crate) message_bytes_max: usize,
    /// Calls in a batch.
    pub(crate) batch_max: usize,
    pub(crate) flow: FlowLimits,
}

/// Serves one connection to its end.
pub(crate) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Accepts connections until the server stops, and waits for those that it has.
pub(crate) async fn accept(
    listener: TcpListener,
    limits: SocketLimits,
    stop: StopHandle,
    serve: impl Fn(IdleStream<TcpStream>, Arc<Flow>) -> Serving + Send + 'static,
) {
    let sockets = Arc::new(Semaphore::new(limits.sockets_max));
    let all_unsent = Arc::new(AtomicU64::new(0));
    let mut connections = JoinSet::new();
    let stopped = stop.shutdown();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = next(&listener, &sockets) => match accepted {
                Ok((stream, permit)) => {
                    // Without it, small answers are late; they are not wrong.
                    let _ = stream.set_nodelay(true);
                    let flow = Flow::new(limits.flow, Arc::clone(&all_unsent));
                    let stream = IdleStream::new(stream, limits, Arc::clone(&flow), permit);
                    connections.spawn(serve(stream, flow));
                }
                Err(error) => {
                    tracing::debug!(target: "fugue::rpc", %error, "connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is room for it.
async fn next(
    listener: &TcpListener,
    sockets: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(sockets).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// A stream that fails once nothing was read or written for too long, or the head of a request was
/// read for too long, and from which nothing is read while its connection has too much under way.
pub(crate) struct IdleStream<S> {
    stream: S,
    limits: SocketLimits,
    last: Instant,
    /// One for each half, as they may belong to two tasks.
    reading: Pin<Box<Sleep>>,
    writing: Pin<Box<Sleep>>,
    flow: Arc<Flow>,
    /// Of its WebSocket: what is read of it is what they hand out.
    messages: Messages,
    /// Its place among the sockets of the server.
    _permit: OwnedSemaphorePermit,
}

impl<S> IdleStream<S> {
    fn new(stream: S, limits: SocketLimits, flow: Arc<Flow>, permit: OwnedSemaphorePermit) -> Self {
        let last = Instant::now();
        let timer = || Box::pin(sleep_until(last + limits.idle_max));
        let (reading, writing) = (timer(), timer());
        let messages = Messages::new(limits.message_bytes_max, limits.batch_max);
        Self { stream, limits, last, reading, writing, flow, messages, _permit: permit }
    }

    /// Until when the next byte is waited for.
    fn heard_until(&self) -> Instant {
        let idle = self.last + self.limits.idle_max;
        let late = self.flow.since().map(|since| since + self.limits.request_time_max);
        late.map_or(idle, |late| late.min(idle))
    }

    /// What a write gave, or an error if it was waited for too long.
    fn written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
                self.last = Instant::now();
                self.flow.written(count as u64);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.flow.blocked();
                let until = self.last + self.limits.idle_max;
                poll_until(&mut self.writing, until, cx).map(Err)
            }
        }
    }
}

/// Ready at this time.
fn poll_until(
    timer: &mut Pin<Box<Sleep>>,
    until: Instant,
    cx: &mut Context<'_>,
) -> Poll<io::Error> {
    loop {
        if until <= Instant::now() {
            return Poll::Ready(io::Error::new(ErrorKind::TimedOut, "nothing is said in time"));
        }
        // One that goes off too early is set anew then: most of them never do.
        if until < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(until);
        }
        ready!(timer.as_mut().poll(cx));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for IdleStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        while this.flow.poll_gate(cx).is_ready() {
            if this.messages.pull(buffer) {
                return Poll::Ready(Ok(()));
            }
            let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
            let Poll::Ready(read) = polled else { break };
            this.last = Instant::now();
            let bytes = buffer.filled().get(before..).unwrap_or_default();
            if bytes.is_empty() || !this.flow.heard(this.last) {
                return Poll::Ready(read);
            }
            this.messages.push(bytes);
            buffer.set_filled(before);
        }
        let until = this.heard_until();
        poll_until(&mut this.reading, until, cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for IdleStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonrpsee::server::stop_channel;
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicUsize, Ordering},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        sync::mpsc,
    };

    const HOUR: Duration = Duration::from_secs(3600);
    const FLOW: FlowLimits = FlowLimits {
        calls_max: 4,
        unsent_bytes_max: 100,
        all_unsent_bytes_max: 100,
        batch_bytes_max: 100,
        batch_time_max: HOUR,
    };

    const LIMITS: SocketLimits = SocketLimits {
        sockets_max: 1,
        idle_max: HOUR,
        request_time_max: HOUR,
        message_bytes_max: 100,
        batch_max: 4,
        flow: FLOW,
    };

    fn limited(stream: DuplexStream, limits: SocketLimits) -> IdleStream<DuplexStream> {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        IdleStream::new(stream, limits, Flow::new(FLOW, Arc::default()), permit)
    }

    fn idle(stream: DuplexStream, idle_max: Duration) -> IdleStream<DuplexStream> {
        limited(stream, SocketLimits { idle_max, ..LIMITS })
    }

    #[tokio::test]
    async fn an_idle_stream_fails_for_whoever_reads_and_whoever_writes() {
        let (ours, _theirs) = duplex(4);
        let mut stream = idle(ours, Duration::ZERO);
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let error = stream.write_all(b"more than fits").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    /// As if both timers had gone off, and nothing had happened for twice as long as may be.
    async fn let_time_pass(stream: &mut IdleStream<DuplexStream>) {
        let idle_max = stream.limits.idle_max;
        stream.last = Instant::now() - 2 * idle_max;
        let until = stream.last + idle_max;
        for timer in [&mut stream.reading, &mut stream.writing] {
            timer.as_mut().reset(until);
            timer.as_mut().await;
        }
    }

    async fn poll_read(stream: &mut IdleStream<DuplexStream>) -> Option<Result<usize, ErrorKind>> {
        poll_fn(|cx| {
            let mut byte = [0];
            let mut buffer = ReadBuf::new(&mut byte);
            Poll::Ready(match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => Some(Ok(buffer.filled().len())),
                Poll::Ready(Err(error)) => Some(Err(error.kind())),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// What it gives at once to read a byte, and then to write one: `None` where it waits.
    async fn poll_both(
        stream: &mut IdleStream<DuplexStream>,
    ) -> [Option<Result<usize, ErrorKind>>; 2] {
        poll_fn(|cx| {
            let mut byte = [0];
            let mut buffer = ReadBuf::new(&mut byte);
            let read = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
            let read = read.map_ok(|()| buffer.filled().len());
            let written = Pin::new(&mut *stream).poll_write(cx, b"x");
            Poll::Ready([read, written].map(|polled| match polled {
                Poll::Ready(done) => Some(done.map_err(|error| error.kind())),
                Poll::Pending => None,
            }))
        })
        .await
    }

    #[tokio::test]
    async fn traffic_of_either_half_postpones_the_end_of_both() {
        let (ours, mut theirs) = duplex(1);
        let mut stream = idle(ours, HOUR);
        stream.write_all(b"x").await.unwrap();
        // 1. There is nothing to read, and no room to write, and that for too long.
        let_time_pass(&mut stream).await;
        assert_eq!(poll_both(&mut stream).await, [Some(Err(ErrorKind::TimedOut)); 2]);
        // 2. A byte is read: the half that writes waits on, and so does the next read.
        let_time_pass(&mut stream).await;
        theirs.write_all(b"a").await.unwrap();
        assert_eq!(poll_both(&mut stream).await, [Some(Ok(1)), None]);
        assert_eq!(poll_both(&mut stream).await, [None, None]);
        // 3. A byte is written: the half that reads waits on.
        let_time_pass(&mut stream).await;
        theirs.read_u8().await.unwrap();
        stream.write_all(b"y").await.unwrap();
        assert_eq!(poll_both(&mut stream).await, [None, None]);
        // 4. And then there is an end again.
        let_time_pass(&mut stream).await;
        assert_eq!(poll_both(&mut stream).await, [Some(Err(ErrorKind::TimedOut)); 2]);
    }

    #[tokio::test]
    async fn a_request_that_drips_ends_and_time_between_requests_does_not_count() {
        let (ours, mut theirs) = duplex(16);
        let limits = SocketLimits { request_time_max: Duration::ZERO, ..LIMITS };
        let mut stream = limited(ours, limits);
        // Before its first byte, no request is late.
        assert_eq!(poll_both(&mut stream).await, [None, Some(Ok(1))]);
        theirs.write_all(b"P").await.unwrap();
        assert_eq!(poll_read(&mut stream).await, Some(Ok(1)));
        assert_eq!(poll_read(&mut stream).await, Some(Err(ErrorKind::TimedOut)));
        // An answer begins anew.
        stream.write_all(b"408").await.unwrap();
        assert_eq!(poll_read(&mut stream).await, None);
    }

    #[tokio::test]
    async fn a_message_of_a_websocket_is_handed_out_when_it_is_whole() {
        let (ours, mut theirs) = duplex(64);
        let mut stream = limited(ours, LIMITS);
        stream.flow.upgrade(true);
        theirs.write_all(b"\x81\x82\x01\0\0\0z").await.unwrap();
        assert_eq!(poll_read(&mut stream).await, None);
        theirs.write_all(b"}").await.unwrap();
        let mut found = [0; 17];
        stream.read_exact(&mut found).await.unwrap();
        // It was {}, which the server is not handed.
        assert_eq!(&found, b"\x81\x8b\0\0\0\0{\"id\":null}");
    }

    #[tokio::test]
    async fn a_stream_that_is_used_carries_what_is_sent() {
        let (ours, mut theirs) = duplex(16);
        let mut stream = idle(ours, HOUR);
        theirs.write_all(b"ask").await.unwrap();
        let mut asked = [0; 3];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(&asked).await.unwrap();
        let mut answered = [0; 3];
        theirs.read_exact(&mut answered).await.unwrap();
        assert_eq!(&answered, b"ask");
    }

    #[tokio::test]
    async fn no_more_sockets_are_open_than_may_be() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, handle) = stop_channel();
        let limits = LIMITS;
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&open);
        let serve = move |mut stream: IdleStream<TcpStream>, _: Arc<Flow>| -> Serving {
            let (sender, open) = (sender.clone(), Arc::clone(&counted));
            Box::pin(async move {
                sender.send(open.fetch_add(1, Ordering::SeqCst)).unwrap();
                // Until the peer hangs up.
                let _ = stream.read_u8().await;
                open.fetch_sub(1, Ordering::SeqCst);
            })
        };
        let accepting = tokio::spawn(accept(listener, limits, stop, serve));
        let first = TcpStream::connect(address).await.unwrap();
        let second = TcpStream::connect(address).await.unwrap();
        assert_eq!(receiver.recv().await, Some(0));
        drop(first);
        // The second was not accepted beside the first.
        assert_eq!(receiver.recv().await, Some(0));
        drop(second);
        handle.stop().unwrap();
        accepting.await.unwrap();
    }
}
