using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

public sealed class TransportsTests
{
    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    [InlineData("tls")]
    [InlineData("loopback")]
    public void What_the_library_brings_is_found_and_never_replaced(string scheme)
    {
        Assert.True(Transports.TryGet(scheme, out ITransport? transport));
        Assert.Equal(scheme, transport.Name);
        Assert.Contains(scheme, Transports.Schemes);
        ArgumentException e = Assert.Throws<ArgumentException>(() => Transports.Register(new Named(scheme)));
        Assert.Contains($"'{scheme}'", e.Message);
        Assert.True(Transports.TryGet(scheme, out ITransport? still));
        Assert.Same(transport, still);
    }

    [Fact]
    public void Another_one_is_found_until_its_registration_ends()
    {
        Named own = new("test7+tcp");
        using (IDisposable registration = Transports.Register(own))
        {
            Assert.True(Transports.TryGet(own.Name, out ITransport? found));
            Assert.Same(own, found);
            Assert.Throws<ArgumentException>(() => Transports.Register(new Named(own.Name)));
        }
        Assert.False(Transports.TryGet(own.Name, out _));
        Transports.Register(own).Dispose();
    }

    private sealed class Named(string name) : ITransport
    {
        public string Name => name;

        public Task<ITransportListener> ListenAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public Task<IConnection> ConnectAsync(TransportEndpoint endpoint, TransportOptions options, CancellationToken cancellationToken) =>
            throw new NotSupportedException();
    }
}
