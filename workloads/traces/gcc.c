/* Input of gcc.trace.xz: a red-black-free ordered tree and a hash table, enough for -O2 to work on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node { struct node *left, *right; long key; char name[24]; };

static struct node *insert(struct node *at, long key, const char *name)
{
	if (!at) {
		at = calloc(1, sizeof(*at));
		at->key = key;
		strncpy(at->name, name, sizeof(at->name) - 1);
	} else if (key < at->key) {
		at->left = insert(at->left, key, name);
	} else if (key > at->key) {
		at->right = insert(at->right, key, name);
	}
	return at;
}

static unsigned long hash(const char *s)
{
	unsigned long h = 5381;
	for (; *s; s++)
		h = h * 33 ^ (unsigned char)*s;
	return h;
}

static long sum(const struct node *at)
{
	return at ? at->key + sum(at->left) + sum(at->right) : 0;
}

static void multiply(double *c, const double *a, const double *b, int n)
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++) {
			double s = 0;
			for (int k = 0; k < n; k++)
				s += a[i * n + k] * b[k * n + j];
			c[i * n + j] = s;
		}
}

int main(int argc, char **argv)
{
	struct node *root = NULL;
	double a[64], b[64], c[64];
	char line[256];
	while (fgets(line, sizeof(line), stdin))
		root = insert(root, (long)(hash(line) % 1000003), line);
	for (int i = 0; i < 64; i++)
		a[i] = i + argc, b[i] = argv[0][0] - i;
	multiply(c, a, b, 8);
	printf("%ld %g\n", sum(root), c[9]);
	return 0;
}
