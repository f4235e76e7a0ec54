using KvHandoff.Gateway.Discovery;

namespace KvHandoff.Gateway.Tests.Discovery;

public sealed class DirectoryAddressTests
{
    [Theory]
    [InlineData("etcd+http://10.0.0.1:2379", "http://10.0.0.1:2379/", "/kvhandoff/workers/")]
    [InlineData("etcd+http://a:1,http://b:2/mine", "http://a:1/ http://b:2/", "/mine/")]
    [InlineData("static", "", "/kvhandoff/workers/")]
    public void Addresses_are_read(string text, string endpoints, string prefix)
    {
        Assert.True(DirectoryAddress.TryParse(text, out DirectoryAddress? address));
        Assert.Equal((endpoints, prefix), (string.Join(' ', address.Endpoints), address.Prefix));
    }

    [Theory]
    [InlineData("etcd://10.0.0.1:2379")]
    [InlineData("etcd+ftp://10.0.0.1")]
    [InlineData("etcd+")]
    [InlineData("")]
    [InlineData("Static")]
    public void Others_are_refused(string text) => Assert.False(DirectoryAddress.TryParse(text, out _));
}
