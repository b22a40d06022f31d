import java.net.Inet6Address;
import java.net.InetAddress;

/** Every address of a name, one a line. */
class Lookup {
    public static void main(String[] words) throws Exception {
        for (InetAddress address : InetAddress.getAllByName(words[0])) {
            String text = address.getHostAddress();
            System.out.println(address instanceof Inet6Address ? text.replaceFirst("(^|:)(0(:|$)){2,}", "::") : text);
        }
    }
}
